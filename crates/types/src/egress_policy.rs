//! What a function's sandbox may connect to.

use serde::{Deserialize, Serialize};

use crate::{EgressTarget, NetworkName};

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
}

// === impl EgressPolicy ===

impl EgressPolicy {
    /// Whether it leaves everything at its default.
    #[must_use]
    pub fn is_default(&self) -> bool {
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
