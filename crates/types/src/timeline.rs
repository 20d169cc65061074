//! Where the time of one attempt went.

use serde::{Deserialize, Serialize};

/// The phases of one attempt, one after the other, in microseconds. What their sum lacks of the whole is the
/// platform's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Waiting for an instance, apart from its start.
    pub queue_us: u64,
    /// The start of the instance, as far as the attempt waited for it; `None` for a warm one.
    pub start: Option<StartTimes>,
    /// From the invocation to the end of the reply, or to this moment while it is under way.
    pub handler_us: u64,
}

/// How long an attempt waited for each step of its instance's start, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartTimes {
    /// Opening the sandbox.
    pub sandbox_us: u64,
    /// Starting the runtime in it.
    pub runtime_us: u64,
    /// Importing the user's code.
    pub import_us: u64,
}
