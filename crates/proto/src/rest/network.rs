//! What a function may connect to.

use faas_types::{ConnectionLog, NetworkMode, Transport};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ActorView;
use super::merge_patch::given;

/// What a function may connect to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkView {
    /// The function's name.
    pub function: String,
    /// What the live version's manifest says of the network; `null` before the first deployment.
    pub network: Option<NetworkMode>,
    /// The policy that counts now; absent for functions without a network to other machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<EgressPolicyView>,
    /// `manifest`, or `function` where it was set by hand.
    #[schema(example = "manifest")]
    pub source: String,
    /// Whose key set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<ActorView>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_at: Option<String>,
    /// The live version's own policy, where another one counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<EgressPolicyView>,
    /// Private networks that the project may ask for.
    pub granted: Vec<String>,
    /// What instances have done with their network since the server started.
    pub usage: NetworkUsageView,
}

/// What may be connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EgressPolicyView {
    /// Hosts that may be reached; `null` stands for the public internet.
    #[schema(example = json!(["api.stripe.com:443"]))]
    pub allow: Option<Vec<String>>,
    /// Hosts that may not be reached; they win.
    pub deny: Vec<String>,
    /// Private networks that the operator has named.
    pub networks: Vec<String>,
    /// Which connections the log tells of.
    pub log: ConnectionLog,
}

/// What instances have done with their network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkUsageView {
    /// Connections made.
    pub connections: u64,
    /// Connections that are open.
    pub open: u64,
    /// Attempts that rules refused.
    pub denied: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
}

/// What to change of a policy. What is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateNetwork {
    /// Hosts that may be reached, in place of those before; `null` for the public internet.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>, max_items = 256, example = json!(["api.stripe.com:443"]))]
    pub allow: Option<Option<Vec<String>>>,
    /// Hosts that may not be reached, in place of those before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 256)]
    pub deny: Option<Vec<String>>,
    /// Private networks, in place of those before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 64)]
    pub networks: Option<Vec<String>>,
    /// Which connections the log tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<ConnectionLog>,
}

/// A connection to try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestNetwork {
    /// A name or an address.
    #[schema(min_length = 1, max_length = 253, example = "api.stripe.com")]
    pub host: String,
    /// The port there.
    #[schema(minimum = 1, example = 443)]
    pub port: u16,
    /// What to connect with.
    #[serde(default = "tcp")]
    pub protocol: Transport,
}

/// What became of a connection that was tried as one of the function's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetworkTestView {
    /// The name or address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What was connected with.
    pub protocol: Transport,
    /// How it ended.
    pub outcome: NetworkTestOutcome,
    /// The address that was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The decision: that on the address that was connected to, or the one that refused.
    pub decision: DecisionView,
    /// Every address that the name leads to, with the decision on each.
    pub addresses: Vec<AddressDecisionView>,
    /// How long the look-up took; `null` for an address.
    pub look_up_ms: Option<f64>,
    /// How long the connection took; `null` where there is none.
    pub connect_ms: Option<f64>,
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkTestOutcome {
    /// A connection was made and closed again. UDP has none: the address may be sent to.
    Connected,
    /// A rule refused it.
    Denied,
    /// The name leads nowhere.
    NoAddress,
    /// No name server answered.
    LookUpFailed,
    /// The far end refused it.
    Refused,
    /// No way leads there.
    Unreachable,
    /// The far end did not answer in time.
    TimedOut,
}

/// What the rules say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecisionView {
    /// Whether the connection may be made.
    pub allowed: bool,
    /// The rule that decided.
    pub rule: String,
    /// The setting to change where it should be decided otherwise.
    pub key: String,
}

/// What the rules say of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddressDecisionView {
    /// The address.
    pub address: String,
    /// What the rules say of it.
    #[serde(flatten)]
    pub decision: DecisionView,
}

fn tcp() -> Transport {
    Transport::Tcp
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_differs_from_null() {
        let read = |text: &str| serde_json::from_str::<UpdateNetwork>(text).expect(text);
        assert_eq!(read("{}").allow, None);
        assert_eq!(read("{\"allow\":null}").allow, Some(None));
        assert_eq!(read("{\"allow\":[\"a.example\"]}").allow, Some(Some(vec!["a.example".to_owned()])));
        for text in ["{}", "{\"allow\":null}", "{\"allow\":[],\"deny\":[],\"log\":\"all\"}"] {
            assert_eq!(serde_json::to_string(&read(text)).expect("JSON"), text);
        }
    }
}
