//! What all commands share: output, failures, the profile, the session with a server.

pub mod body_argument;
pub mod confirmation;
pub mod failure;
pub mod global_args;
pub mod output;
pub mod profile;
pub mod read_progress;
pub mod session;
pub mod table;
mod terminal_text;
pub mod text;
