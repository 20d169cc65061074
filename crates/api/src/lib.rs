//! Control plane: REST and its OpenAPI document.

mod aliases;
mod cache;
mod callbacks;
mod dead_letters;
mod deploy;
mod error_pages;
mod events;
mod functions;
mod git;
mod health;
mod invoke;
mod keys;
mod layers;
mod logs;
mod metrics;
mod metrics_page;
mod named_layers;
mod openapi;
mod page;
mod replays;
mod retention;
mod runs;
mod secrets;
mod server;
mod state;
mod together;
mod topics;
mod triggers;
mod vars;
mod version_files;
mod versions;
mod views;

pub use git::GitRemote;
pub use openapi::document;
pub use server::router;
pub use state::ApiState;
