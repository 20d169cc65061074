//! The written form of `[egress]`.

use faas_types::{ConnectionLog, EgressPolicy};
use schemars::JsonSchema;
use serde::Serialize;

/// What the function may connect to, with network = "egress".
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(inline, default, deny_unknown_fields)]
pub(super) struct EgressDocument {
    /// Hosts that it may reach: a name, *.name, an address or a network, each with an optional port or ports, and tcp:// or
    /// udp:// in front; without this list, the public internet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", length(max = 256), inner(length(min = 1, max = 280)))]
    #[schemars(example = ["api.stripe.com:443", "*.example.com", "10.1.0.0/16:5432"])]
    allow: Option<Vec<String>>,
    /// Hosts that it may not reach, in the same forms; they win over `allow`.
    #[schemars(length(max = 256), inner(length(min = 1, max = 280)))]
    deny: Vec<String>,
    /// Private networks that the server's operator has named, such as "db".
    #[schemars(length(max = 64), inner(regex(pattern = "^[a-z]([a-z0-9-]*[a-z0-9])?$")))]
    networks: Vec<String>,
    /// What the log shows: attempts that a rule refused, or also each connection when it ends.
    #[schemars(with = "String", extend("enum" = ["denied", "all"]))]
    log: ConnectionLog,
}

// === impl EgressDocument ===

impl From<&EgressPolicy> for EgressDocument {
    fn from(policy: &EgressPolicy) -> Self {
        Self {
            allow: policy.allow.as_ref().map(|rules| rules.iter().map(ToString::to_string).collect()),
            deny: policy.deny.iter().map(ToString::to_string).collect(),
            networks: policy.networks.iter().map(ToString::to_string).collect(),
            log: policy.log,
        }
    }
}
