//! How a sender signs: which headers, which bytes, which spelling.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a sender signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WebhookScheme {
    /// `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,{base64}` over `{id}.{timestamp}.{body}`; the format of
    /// standardwebhooks.com. The same three with `svix-` in front are taken too.
    #[default]
    Standard,
    /// `x-hub-signature-256: sha256={hex}` over the body, with `x-github-delivery`. Signs neither time nor id, so a
    /// delivery is known by its body.
    GitHub,
    /// `stripe-signature: t={timestamp},v1={hex}` over `{timestamp}.{body}`; the id is the event's own.
    Stripe,
    /// `x-slack-signature: v0={hex}` over `v0:{timestamp}:{body}` with `x-slack-request-timestamp`.
    Slack,
}

// === impl WebhookScheme ===

impl WebhookScheme {
    /// Every scheme.
    pub const ALL: [Self; 4] = [Self::Standard, Self::GitHub, Self::Stripe, Self::Slack];

    /// The scheme as manifests name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::GitHub => "github",
            Self::Stripe => "stripe",
            Self::Slack => "slack",
        }
    }

    /// The header that carries the signature.
    #[must_use]
    pub const fn signature_header(self) -> &'static str {
        match self {
            Self::Standard => "webhook-signature",
            Self::GitHub => "x-hub-signature-256",
            Self::Stripe => "stripe-signature",
            Self::Slack => "x-slack-signature",
        }
    }
}

impl fmt::Display for WebhookScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for WebhookScheme {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scheme| scheme.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is not a webhook scheme; use standard, github, stripe or slack"))
    }
}
