//! Reads what is deployed: directories, archives, repositories; manifest, imports and packages.

pub mod bundle;
pub mod checks;
mod debugger_package;
pub mod deps;
pub mod env_file;
pub mod fetched;
mod held;
mod helper;
pub mod interpreter;
pub mod interrupt;
pub mod location;
pub mod project;
pub mod scratch;
mod syntax;

pub use debugger_package::debugger_package;
