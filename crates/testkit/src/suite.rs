//! One conformance suite for each port. A suite panics with a message that says which promise is broken.
//!
//! Suites that name their own projects can share a store; each says what it needs.

mod blobs;
mod claims;
mod completion;
mod dead_letters;
mod events;
mod history;
mod kept_inputs;
mod layers;
mod logs;
mod queue;
mod registry;
mod topics;
mod vault;
mod watch;

pub use blobs::blobs;
pub use claims::claims;
pub use completion::completion;
pub use dead_letters::dead_letters;
pub use events::events;
pub use history::history;
pub use kept_inputs::kept_inputs;
pub use layers::layers;
pub use logs::logs;
pub use queue::queue;
pub use registry::registry;
pub use topics::topics;
pub use vault::vault;
pub use watch::{lagged_watch, watch};

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use faas_ports::PortResult;

/// What any single step may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The value, or a panic that says what was being done.
#[track_caller]
fn ok<T>(what: &str, result: PortResult<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error}"),
    }
}

/// The error, or a panic that says what should have been refused.
#[track_caller]
fn refused<T: Debug>(what: &str, result: PortResult<T>) -> faas_ports::PortError {
    match result {
        Ok(value) => panic!("{what} was not refused but gave {value:?}"),
        Err(error) => error,
    }
}

/// The outcome, or a panic when it does not come.
async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not come within {PATIENCE:?}"),
    }
}
