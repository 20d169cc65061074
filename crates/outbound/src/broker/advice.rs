//! What is said of a refused connection: the rule, and the setting that would allow it.

use std::net::IpAddr;

use faas_types::{EgressHost, EgressTarget, PortRange, Transport};

use super::destination::Destination;
use crate::{Rule, Ruling};

/// The rule and the setting where datagrams cannot be sent.
pub(super) fn no_datagrams() -> (String, String) {
    let rule = "the server's connections go through a proxy, which carries no datagrams".to_owned();
    (rule, "use TCP, or remove egress.proxy from the server's configuration".to_owned())
}

/// The rule that refused a connection, and the setting that would allow it.
pub(super) fn in_words(name: Option<&str>, to: Destination, ruling: &Ruling) -> (String, String) {
    let address = to.address.to_string();
    let mut rule = ruling.rule.to_string();
    if let (Some(_), Rule::Shut(_)) = (name, &ruling.rule) {
        rule = format!("{rule} ({address})");
    }
    let key = match (&ruling.rule, name) {
        // A name may lead elsewhere tomorrow: an operator opens addresses.
        (Rule::Shut(_), _) | (_, None) => advice(&address, Some(to), ruling),
        (_, Some(name)) => advice(name, Some(to), ruling),
    };
    (rule, key)
}

/// The setting to change, with the value that would allow this.
pub(super) fn advice(host: &str, to: Option<Destination>, ruling: &Ruling) -> String {
    let key = ruling.key;
    match &ruling.rule {
        Rule::Unseen(rule) if rule.transport.is_none() => {
            format!("use TCP, or write \"tcp://{rule}\" in {key}, which leaves QUIC open to every name")
        }
        Rule::Unasked(network) => format!("add \"{network}\" to {key}"),
        Rule::OperatorDeny(rule) | Rule::Deny(rule) | Rule::Unseen(rule) => format!("remove \"{rule}\" from {key}"),
        _ => {
            let of = match host.parse::<IpAddr>() {
                Ok(address) => EgressHost::network(address, u8::MAX),
                Err(_) => EgressHost::Name(host.to_owned()),
            };
            let transport = to.map(|to| to.transport).filter(|transport| *transport == Transport::Udp);
            let ports = to.map(|to| PortRange { first: to.port, last: to.port });
            format!("add \"{}\" to {key}", EgressTarget { transport, host: of, ports })
        }
    }
}
