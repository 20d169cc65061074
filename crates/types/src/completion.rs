//! What follows the end of a run that was accepted for later: a callback, and a run of another function. Also what led to
//! it.

use serde::{Deserialize, Serialize};

use crate::{FunctionTarget, RunId, Timestamp};

/// What follows a run's end, as its record tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Completion {
    /// Whom the server tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    /// The function that goes on, once the run has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
    /// How many runs led to this one, each caused by the one before: as its destination, or by an event or a message of
    /// it.
    #[serde(skip_serializing_if = "is_zero")]
    pub hops: u32,
    /// Whether the callback tells the code of a failure alone: its caller may not know more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub brief: bool,
}

/// A message that the server sends at the end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Callback {
    /// Where it goes.
    pub url: String,
    /// How far it is.
    pub state: CallbackState,
    /// Attempts so far.
    #[serde(default)]
    pub attempts: u32,
    /// When the last attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub at: Option<Timestamp>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How far a callback is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CallbackState {
    /// The run has not ended.
    Waiting,
    /// The run has ended; the message is on its way, or waits for its next attempt.
    Pending,
    /// The receiver has it.
    Delivered,
    /// No attempt follows.
    Abandoned,
}

/// The function that goes on after a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Destination {
    /// Its name, with the alias behind a colon where that is not `live`.
    #[schema(value_type = String)]
    pub function: FunctionTarget,
    /// Its run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub run_id: Option<RunId>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

// === impl Completion ===

impl Completion {
    /// Of a run that is accepted with these; `None` where nothing is to be told.
    #[must_use]
    pub fn new(callback: Option<String>, details: bool, hops: u32) -> Option<Box<Self>> {
        let callback = callback.map(Callback::new);
        let brief = callback.is_some() && !details;
        (callback.is_some() || hops > 0).then(|| Box::new(Self { callback, destination: None, hops, brief }))
    }
}

// === impl Callback ===

impl Callback {
    /// One whose run has not ended.
    #[must_use]
    pub fn new(url: String) -> Self {
        Self { url, state: CallbackState::Waiting, attempts: 0, at: None, message: None }
    }
}

// === impl CallbackState ===

impl CallbackState {
    /// The state as text, as on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Abandoned => "abandoned",
        }
    }
}
