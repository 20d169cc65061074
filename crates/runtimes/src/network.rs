//! The network of an instance, and what its log says of it.

use std::sync::Arc;

use faas_ports::{
    InstanceSpec, LogEntry, NetworkDenial, NetworkDevice, NetworkEvent, NetworkLease, NetworkOwner, Networks,
    PortResult,
};
use faas_types::{LogLevel, LogStream, Timestamp};
use tokio::sync::{mpsc, watch};

/// Events that may wait for the log; further ones are counted by the network.
const EVENTS_WAITING: usize = 64;

/// The network of one instance. Dropping it closes its connections.
pub(crate) struct InstanceNetwork {
    #[expect(dead_code, reason = "held for the connections that end with it")]
    lease: Box<dyn NetworkLease>,
    events: mpsc::Receiver<NetworkEvent>,
    /// The network tells nothing more.
    is_silent: bool,
}

// === impl InstanceNetwork ===

impl InstanceNetwork {
    /// Begins to serve an instance's device.
    pub(crate) async fn attach(
        networks: &dyn Networks,
        device: NetworkDevice,
        spec: &InstanceSpec,
    ) -> PortResult<Self> {
        let owner = NetworkOwner { project: spec.project, function: spec.function.clone(), instance: spec.id };
        let (_, policy) = watch::channel(Arc::new(spec.settings.egress.clone()));
        let (sender, events) = mpsc::channel(EVENTS_WAITING);
        let lease = networks.attach(device, owner, policy, sender).await?;
        Ok(Self { lease, events, is_silent: false })
    }

    /// Waits for the next event; for ever after the last.
    pub(crate) async fn event(&mut self) -> NetworkEvent {
        if !self.is_silent {
            if let Some(event) = self.events.recv().await {
                return event;
            }
            self.is_silent = true;
        }
        std::future::pending().await
    }

    /// An event that has come already.
    pub(crate) fn event_now(&mut self) -> Option<NetworkEvent> {
        self.events.try_recv().ok()
    }
}

/// The line of the log that tells an event.
pub(crate) fn line_of(event: NetworkEvent, at: Timestamp) -> LogEntry {
    let message = match event {
        NetworkEvent::Denied(denial) => denied(&denial),
        NetworkEvent::Interrupted => {
            "the network was interrupted: open connections are lost, new ones can be made".to_owned()
        }
    };
    LogEntry { at, level: LogLevel::Warn, stream: LogStream::Platform, message }
}

fn denied(denial: &NetworkDenial) -> String {
    let NetworkDenial { host, port, protocol, rule, key, repeated } = denial;
    let target = match port {
        Some(port) if host.contains(':') => format!("{protocol} to [{host}]:{port}"),
        Some(port) => format!("{protocol} to {host}:{port}"),
        None if *protocol == "network" => format!("private network {host}"),
        None => format!("look-up of {host}"),
    };
    let more = if *repeated > 0 { format!(" (and {repeated} more like it)") } else { String::new() };
    format!("network denied: {target}{more}: {rule}; to allow it: {key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_names_what_was_tried_the_rule_and_the_key() {
        let denial = NetworkDenial {
            host: "db.internal".to_owned(),
            port: Some(5432),
            protocol: "tcp",
            rule: "it is not in `allow`".to_owned(),
            key: "allow = [\"db.internal:5432\"] under [egress] in faas.toml".to_owned(),
            repeated: 0,
        };
        let line = |denial: NetworkDenial| line_of(NetworkEvent::Denied(denial), Timestamp::from_millis(5));
        let entry = line(denial.clone());
        assert_eq!((entry.level, entry.stream, entry.at.as_millis()), (LogLevel::Warn, LogStream::Platform, 5));
        assert_eq!(
            entry.message,
            "network denied: tcp to db.internal:5432: it is not in `allow`; to allow it: allow = \
             [\"db.internal:5432\"] under [egress] in faas.toml"
        );
        let again = NetworkDenial { host: "fd00::1".to_owned(), repeated: 3, ..denial.clone() };
        assert!(line(again).message.contains("tcp to [fd00::1]:5432 (and 3 more like it): "));
        let network = NetworkDenial { port: None, host: "db".to_owned(), protocol: "network", ..denial.clone() };
        assert!(line(network).message.starts_with("network denied: private network db: "));
        let lookup = NetworkDenial { port: None, ..denial };
        assert!(line(lookup).message.starts_with("network denied: look-up of db.internal: "));
    }
}
