//! What a function's sandbox may connect to.

use serde::{Deserialize, Serialize};

use crate::{Author, EgressTarget, NetworkName, Timestamp};

/// The rules of a function or a sandbox, on top of which those of the operator hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressPolicy {
    /// What it may reach; `None` stands for the public internet and what the operator opens besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<EgressTarget>>,
    /// What it may not reach, although `allow` would let it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<EgressTarget>,
    /// Private networks of the operator that it may reach besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkName>,
    /// Which connections the log tells of.
    #[serde(default, skip_serializing_if = "ConnectionLog::is_default")]
    pub log: ConnectionLog,
    /// Where it comes from, so that a refusal names what to change.
    #[serde(skip)]
    pub source: PolicySource,
}

/// Where a policy comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicySource {
    /// The manifest of a version.
    #[default]
    Manifest,
    /// It was set by hand.
    SetByHand,
}

/// Which connections the log of a function tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionLog {
    /// Attempts that a rule refused.
    #[default]
    Denied,
    /// Those, and a line for each connection when it ends.
    All,
}

/// A policy that was set by hand and stands in place of the manifests' until it is reset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyOverride {
    /// The policy.
    pub policy: EgressPolicy,
    /// Who set it last.
    pub by: Author,
    /// When.
    pub at: Timestamp,
}

// === impl EgressPolicy ===

impl EgressPolicy {
    /// Whether it leaves everything at its default.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

// === impl PolicyOverride ===

impl PolicyOverride {
    /// The policy as instances have it.
    #[must_use]
    pub fn in_force(&self) -> EgressPolicy {
        EgressPolicy { source: PolicySource::SetByHand, ..self.policy.clone() }
    }
}

// === impl PolicySource ===

impl PolicySource {
    /// The list of what may be reached, as messages name it.
    #[must_use]
    pub const fn allow_key(self) -> &'static str {
        match self {
            Self::Manifest => "egress.allow in the function's manifest",
            Self::SetByHand => "the list that `faas network set --allow` gave",
        }
    }

    /// The private networks, as messages name them.
    #[must_use]
    pub const fn networks_key(self) -> &'static str {
        match self {
            Self::Manifest => "egress.networks in the function's manifest",
            Self::SetByHand => "the private networks that `faas network set` gave",
        }
    }

    /// The list of what may not be reached, as messages name it.
    #[must_use]
    pub const fn deny_key(self) -> &'static str {
        match self {
            Self::Manifest => "egress.deny in the function's manifest",
            Self::SetByHand => "the list that `faas network set --deny` gave",
        }
    }
}

// === impl ConnectionLog ===

impl ConnectionLog {
    /// Its name, as manifests write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::All => "all",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_differs_from_an_empty_one() {
        let read = |text: &str| serde_json::from_str::<EgressPolicy>(text).expect(text);
        assert!(read("{}").is_default() && !read("{\"allow\":[]}").is_default());
        let policy = read("{\"allow\":[\"api.stripe.com:443\"],\"deny\":[\"*.evil.example\"],\"networks\":[\"db\"]}");
        assert_eq!(
            serde_json::to_value(&policy).ok().map(|json| json["allow"][0].clone()),
            Some("api.stripe.com:443".into())
        );
        assert!(serde_json::from_str::<EgressPolicy>("{\"deny\":[\"https://x\"]}").is_err());
    }
}
