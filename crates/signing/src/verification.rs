//! Whether a message comes from who it says, is fresh, and which delivery it is.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use faas_types::Timestamp;
use hmac::Mac;

use super::signing::code;
use super::{ID_MAX, SIGNATURES_MAX, TOLERANCE, WebhookScheme, WebhookSecret};

/// A message as it came.
pub struct Delivery<'a> {
    /// Headers, names in lower case.
    pub headers: &'a [(String, String)],
    /// The body's raw bytes.
    pub body: &'a [u8],
}

/// A message that is what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The same for each repetition of a delivery, and only what the signature covers: the sender's id where that is
    /// signed, else the body.
    pub id: String,
    /// Which of the live secrets it was signed with, so that a rotation can be followed.
    pub secret: usize,
}

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookRefusal {
    /// A header is not there.
    #[error("the header `{0}` is missing")]
    Missing(&'static str),
    /// A header is there twice, is malformed or too long.
    #[error("the header `{0}` is malformed")]
    Malformed(&'static str),
    /// Signed longer ago than is tolerated: the message was replayed, or the clocks differ.
    #[error("the message was signed more than {} minutes ago", TOLERANCE.as_secs() / 60)]
    Stale,
    /// Signed in the future; the clocks differ.
    #[error("the message was signed more than {} minutes in the future", TOLERANCE.as_secs() / 60)]
    Early,
    /// No live secret gives this signature.
    #[error("the signature does not fit any live secret of this webhook")]
    Signature,
}

/// What a scheme takes from a message before anything is trusted.
struct Claim<'a> {
    /// The signed id.
    id: Option<&'a str>,
    /// The signed time, and the header that it comes in.
    at: Option<(&'static str, &'a str)>,
    prefix: Vec<&'a [u8]>,
    signatures: Vec<Vec<u8>>,
}

/// Verifies a message against the live secrets.
///
/// # Errors
/// Why it is refused. Which secret or which byte did not fit is not told.
pub fn verify(
    scheme: WebhookScheme,
    secrets: &[WebhookSecret],
    delivery: &Delivery<'_>,
    now: Timestamp,
) -> Result<Verified, WebhookRefusal> {
    let claim = delivery.claim(scheme)?;
    if let Some((header, at)) = claim.at {
        check_time(header, at, now)?;
    }
    let fits = |secret: &WebhookSecret, signature: &[u8]| {
        let mut parts = claim.prefix.clone();
        parts.push(delivery.body);
        code(secret, &parts).verify_slice(signature).is_ok()
    };
    let found = claim.signatures.iter().find_map(|signature| {
        let secret = secrets.iter().position(|secret| fits(secret, signature))?;
        Some((secret, signature))
    });
    let (secret, signature) = found.ok_or(WebhookRefusal::Signature)?;
    let id = claim.id.map(str::to_owned).or_else(|| delivery.event_id(scheme));
    let id = id.unwrap_or_else(|| match scheme {
        // Whoever has seen a delivery can send it again under another id, and after a rotation the sender signs anew.
        WebhookScheme::GitHub => format!("body:{}", blake3::hash(delivery.body).to_hex()),
        _ => BASE64_STANDARD.encode(signature),
    });
    Ok(Verified { id, secret })
}

fn check_time(header: &'static str, at: &str, now: Timestamp) -> Result<(), WebhookRefusal> {
    let malformed = WebhookRefusal::Malformed(header);
    let digits = !at.is_empty() && at.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: u64 = at.parse().ok().filter(|_| digits).ok_or(malformed)?;
    let at = Timestamp::from_millis(seconds.checked_mul(1000).ok_or(malformed)?);
    // The signed time is in whole seconds.
    let tolerance = TOLERANCE + Duration::from_secs(1);
    if now.since(at) > tolerance {
        Err(WebhookRefusal::Stale)
    } else if at.since(now) > tolerance {
        Err(WebhookRefusal::Early)
    } else {
        Ok(())
    }
}

// === impl Delivery ===

impl<'a> Delivery<'a> {
    fn claim(&self, scheme: WebhookScheme) -> Result<Claim<'a>, WebhookRefusal> {
        let signature = || self.header(scheme.signature_header());
        let malformed = WebhookRefusal::Malformed(scheme.signature_header());
        let claim = match scheme {
            WebhookScheme::Standard => return self.standard(),
            WebhookScheme::GitHub => {
                self.id("x-github-delivery")?;
                let signatures = signature()?.strip_prefix("sha256=").and_then(unhex).into_iter().collect();
                Claim { id: None, at: None, prefix: Vec::new(), signatures }
            }
            WebhookScheme::Stripe => {
                let signature = signature()?;
                let fields = || signature.split(',').filter_map(|field| field.trim().split_once('='));
                let at = fields().find(|(name, _)| *name == "t").ok_or(malformed)?.1;
                let signatures = fields().filter(|(name, _)| *name == "v1").take(SIGNATURES_MAX);
                let signatures = signatures.filter_map(|(_, text)| unhex(text)).collect();
                Claim { id: None, at: Some(("stripe-signature", at)), prefix: vec![at.as_bytes(), b"."], signatures }
            }
            WebhookScheme::Slack => {
                let header = "x-slack-request-timestamp";
                let at = self.header(header)?;
                let signatures = signature()?.strip_prefix("v0=").and_then(unhex).into_iter().collect();
                Claim { id: None, at: Some((header, at)), prefix: vec![b"v0:", at.as_bytes(), b":"], signatures }
            }
        };
        if claim.signatures.is_empty() { Err(malformed) } else { Ok(claim) }
    }

    /// Standard Webhooks, under its own names or those of Svix, which it came from; never of both.
    fn standard(&self) -> Result<Claim<'a>, WebhookRefusal> {
        let has = |wanted: &str| self.headers.iter().any(|(name, _)| name == wanted);
        let is_svix = has("svix-signature") && !has("webhook-signature");
        let [id, time, signature] = if is_svix {
            ["svix-id", "svix-timestamp", "svix-signature"]
        } else {
            ["webhook-id", "webhook-timestamp", "webhook-signature"]
        };
        let signed = self.header(signature)?;
        let (id, at) = (self.id(id)?, self.header(time)?);
        let parts = signed.split(' ').filter_map(|part| part.strip_prefix("v1,"));
        let signatures: Vec<_> =
            parts.take(SIGNATURES_MAX).filter_map(|text| BASE64_STANDARD.decode(text).ok()).collect();
        let prefix = vec![id.as_bytes(), b".", at.as_bytes(), b"."];
        if signatures.is_empty() {
            return Err(WebhookRefusal::Malformed(signature));
        }
        Ok(Claim { id: Some(id), at: Some((time, at)), prefix, signatures })
    }

    /// A header that must be there once: of two, the sender and we might read different ones.
    fn header(&self, name: &'static str) -> Result<&'a str, WebhookRefusal> {
        let mut values = self.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (None, _) => Err(WebhookRefusal::Missing(name)),
            (Some(value), None) => Ok(value),
            (Some(_), Some(_)) => Err(WebhookRefusal::Malformed(name)),
        }
    }

    fn id(&self, name: &'static str) -> Result<&'a str, WebhookRefusal> {
        let id = self.header(name)?;
        let plain = !id.is_empty() && id.len() <= ID_MAX && id.bytes().all(|byte| byte.is_ascii_graphic());
        if plain { Ok(id) } else { Err(WebhookRefusal::Malformed(name)) }
    }

    /// The id within the event, where the scheme has it there. Read only once the signature fits.
    fn event_id(&self, scheme: WebhookScheme) -> Option<String> {
        let field = match scheme {
            WebhookScheme::Stripe => "id",
            WebhookScheme::Slack => "event_id",
            WebhookScheme::Standard | WebhookScheme::GitHub => return None,
        };
        let event: serde_json::Value = serde_json::from_slice(self.body).ok()?;
        let id = event.get(field)?.as_str()?;
        (!id.is_empty() && id.len() <= ID_MAX).then(|| id.to_owned())
    }
}

/// The bytes behind hexadecimal digits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok();
    text.len().is_multiple_of(2).then(|| text.as_bytes().chunks_exact(2).map(pair).collect())?
}

#[cfg(test)]
mod tests;
