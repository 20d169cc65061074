//! Signatures of messages over HTTP: webhooks that come in are verified, callbacks that go out are signed.
//!
//! A signature is checked on the raw bytes of the body, in constant time, with each secret that is live, before anything
//! of the message is read. Schemes that sign a time are held to [`TOLERANCE`] on both sides of now.

mod sealed_secret;
mod secret;
mod signing;
mod verification;

use std::time::Duration;

pub use faas_types::WebhookScheme;
pub use sealed_secret::SealedSecret;
pub use secret::{InvalidWebhookSecret, WebhookSecret};
pub use signing::{sign, sign_as};
pub use verification::{Delivery, Verified, WebhookRefusal, verify};

/// How far a signed time may be from now.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// Secrets of one trigger that are live at once: the current one, and the one that it replaces.
pub const SECRETS_MAX: usize = 2;
/// Signatures that one message may carry. Senders carry two while they change their secret.
const SIGNATURES_MAX: usize = 8;
/// Bytes of a delivery's id.
const ID_MAX: usize = 256;
