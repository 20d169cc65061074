//! Signing messages of ours.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use faas_types::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::WebhookSecret;

/// The headers of a message of ours, in the standard scheme. `id` stays the same when the message is sent again.
#[must_use]
pub fn sign(secret: &WebhookSecret, id: &str, at: Timestamp, body: &[u8]) -> [(&'static str, String); 3] {
    let seconds = (at.as_millis() / 1000).to_string();
    let code = code(secret, &[id.as_bytes(), b".", seconds.as_bytes(), b".", body]).finalize().into_bytes();
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds),
        ("webhook-signature", format!("v1,{}", BASE64_STANDARD.encode(code))),
    ]
}

/// The authentication code over parts that are joined.
pub(super) fn code(secret: &WebhookSecret, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut code = Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| code.update(part));
    code
}
