//! Stages: vars and secrets that the functions of a project share, and what an instance of each stage gets of them.

mod changes;
mod rekey;
mod secrets;
mod usage;

pub use rekey::Rekeyed;
pub use secrets::SecretSummary;
