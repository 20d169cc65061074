//! What a sender and we both know.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::WebhookScheme;

/// The prefix of secrets of the standard scheme; base64 follows.
const PREFIX: &str = "whsec_";
/// Random bytes of a secret that we make.
const FRESH_BYTES: usize = 32;
/// Length of a secret that a user supplies, in bytes: fewer can be guessed, more are not needed.
const BYTES: std::ops::RangeInclusive<usize> = 16..=256;

/// The key that messages are signed with. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

/// Why a text is not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhookSecret {
    /// Of the standard scheme, but not base64.
    #[error("the secret must be whsec_ and base64, as `faas triggers create` prints it")]
    Encoding,
    /// Too short or too long.
    #[error("the secret must have {} to {} bytes", BYTES.start(), BYTES.end())]
    Length,
}

// === impl WebhookSecret ===

impl WebhookSecret {
    /// A fresh one, with the text to give to the sender.
    ///
    /// # Errors
    /// The kernel gives no random bytes.
    pub fn fresh() -> Result<(Self, String), getrandom::Error> {
        let mut bytes = vec![0; FRESH_BYTES];
        getrandom::fill(&mut bytes)?;
        let text = format!("{PREFIX}{}", BASE64_STANDARD.encode(&bytes));
        Ok((Self(bytes), text))
    }

    /// Reads the text that a sender shows: `whsec_` and base64 in the standard scheme, the bytes of the text in others
    /// (Stripe signs with its text as it is, `whsec_` included).
    ///
    /// # Errors
    /// It is malformed, too short or too long.
    pub fn read(scheme: WebhookScheme, text: &str) -> Result<Self, InvalidWebhookSecret> {
        let bytes = match scheme {
            WebhookScheme::Standard => {
                let encoded = text.strip_prefix(PREFIX).unwrap_or(text);
                BASE64_STANDARD.decode(encoded).map_err(|_| InvalidWebhookSecret::Encoding)?
            }
            _ => text.as_bytes().to_vec(),
        };
        if BYTES.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(InvalidWebhookSecret::Length) }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}
