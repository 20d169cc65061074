//! Signing messages: ours, and those that try a webhook out.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use faas_types::{Timestamp, WebhookScheme};
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

/// The headers that a sender of `scheme` puts on a message. `id` counts where the scheme has one in the headers.
#[must_use]
pub fn sign_as(
    scheme: WebhookScheme,
    secret: &WebhookSecret,
    id: &str,
    at: Timestamp,
    body: &[u8],
) -> Vec<(String, String)> {
    let seconds = (at.as_millis() / 1000).to_string();
    let hex = |parts: &[&[u8]]| -> String {
        code(secret, parts).finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let headers = match scheme {
        WebhookScheme::Standard => sign(secret, id, at, body).to_vec(),
        WebhookScheme::GitHub => {
            vec![("x-github-delivery", id.to_owned()), ("x-hub-signature-256", format!("sha256={}", hex(&[body])))]
        }
        WebhookScheme::Stripe => {
            let signature = hex(&[seconds.as_bytes(), b".", body]);
            vec![("stripe-signature", format!("t={seconds},v1={signature}"))]
        }
        WebhookScheme::Slack => {
            let signature = hex(&[b"v0:", seconds.as_bytes(), b":", body]);
            vec![("x-slack-signature", format!("v0={signature}")), ("x-slack-request-timestamp", seconds)]
        }
    };
    headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The authentication code over parts that are joined.
pub(super) fn code(secret: &WebhookSecret, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut code = Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| code.update(part));
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Delivery, verify};

    #[test]
    fn what_is_signed_in_any_scheme_is_verified_in_that_one_alone() {
        let secret = WebhookSecret::read(WebhookScheme::GitHub, "a secret of enough bytes").expect("good");
        let (at, body) = (Timestamp::from_millis(1_800_000_000_000), b"{}");
        for scheme in WebhookScheme::ALL {
            let headers = sign_as(scheme, &secret, "msg_1", at, body);
            for other in WebhookScheme::ALL {
                let delivery = Delivery { headers: &headers, body };
                let verified = verify(other, std::slice::from_ref(&secret), &delivery, at);
                assert_eq!(verified.is_ok(), other == scheme, "{scheme} as {other}: {verified:?}");
            }
        }
    }
}
