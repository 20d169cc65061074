//! What follows the end of a run that was accepted for later.
//!
//! A [follow-up](follow_ups) is decided when the run ends and committed with its end, so that neither is there without the other:
//! the run of a destination goes into the queue, and a callback waits for the [sender](sender), which tries it until it is
//! delivered or given up.

mod callback_retry;
mod follow_ups;
mod report;
mod secrets;
mod sender;

pub use follow_ups::check_destinations;
pub(crate) use follow_ups::follow;
pub use secrets::SigningSecrets;
pub(crate) use sender::run as send_callbacks;
