//! The network of an instance, and what its log says of it.

use std::time::{Duration, Instant};

use faas_languages::looks_like_network;
use faas_ports::{
    ClosedConnection, InstanceSpec, LogEntry, NetworkDenial, NetworkDevice, NetworkEvent, NetworkLease, NetworkOwner,
    Networks, PortResult,
};
use faas_types::{FunctionError, LogLevel, LogStream, Timestamp};
use tokio::sync::mpsc;

/// Events that may wait for the log; further ones are counted by the network.
const EVENTS_WAITING: usize = 64;
/// How long an attempt that repeats itself may go without a word.
const REPEATED: Duration = Duration::from_secs(15);

/// The network of one instance. Dropping it closes its connections.
pub(crate) struct InstanceNetwork {
    lease: Box<dyn NetworkLease>,
    events: mpsc::Receiver<NetworkEvent>,
    /// The network tells nothing more.
    is_silent: bool,
    denied: Option<LastDenial>,
}

/// The attempt that was refused last.
struct LastDenial {
    /// In words, with the rule and the setting that allows it.
    text: String,
    /// The run that it was surely of.
    run: Option<u32>,
    at: Instant,
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
        let (sender, events) = mpsc::channel(EVENTS_WAITING);
        let lease = networks.attach(device, owner, spec.network.clone(), sender).await?;
        Ok(Self { lease, events, is_silent: false, denied: None })
    }

    /// The log of the next run names what is refused to it, although it was refused to this one.
    pub(crate) fn run_ended(&self) {
        self.lease.run_ended();
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

    /// Remembers a refused attempt for the error that it may cause. `run` is the only one under way.
    pub(crate) fn remember(&mut self, event: &NetworkEvent, run: Option<u32>) {
        if let NetworkEvent::Denied(denial) = event {
            self.denied = Some(LastDenial { text: denied(denial), run, at: Instant::now() });
        }
    }

    /// The attempt that a run's error may come from: its own, or, where the error is one of a network, one of some seconds
    /// ago of an unknown owner.
    pub(crate) fn cause_of(&self, run: u32, error: &FunctionError) -> Option<String> {
        let last = self.denied.as_ref()?;
        let is_recent = || last.at.elapsed() < REPEATED && looks_like_network(error);
        (last.run == Some(run) || last.run.is_none() && is_recent()).then(|| last.text.clone())
    }

    /// An event that has come already.
    pub(crate) fn event_now(&mut self) -> Option<NetworkEvent> {
        self.events.try_recv().ok()
    }
}

/// The line of the log that tells an event.
pub(crate) fn line_of(event: NetworkEvent, at: Timestamp) -> LogEntry {
    let (level, message) = match event {
        NetworkEvent::Denied(denial) => (LogLevel::Warn, format!("network denied: {}", denied(&denial))),
        NetworkEvent::Closed(connection) => (LogLevel::Info, closed(&connection)),
        NetworkEvent::Interrupted => {
            let message = "the network was interrupted: open connections are lost, new ones can be made";
            (LogLevel::Warn, message.to_owned())
        }
    };
    LogEntry { at, level, stream: LogStream::Platform, message }
}

fn closed(connection: &ClosedConnection) -> String {
    let ClosedConnection { host, address, port, transport, sent, received, lasted, unreported } = connection;
    let to = match (host, address.is_ipv6()) {
        (Some(host), _) => format!("{host}:{port} ({address})"),
        (None, true) => format!("[{address}]:{port}"),
        (None, false) => format!("{address}:{port}"),
    };
    let more = if *unreported > 0 { format!(" ({unreported} more ended before it)") } else { String::new() };
    let seconds = lasted.as_secs_f64();
    format!("network: {transport} to {to}: {sent} bytes sent, {received} received, {seconds:.3} s{more}")
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
    format!("{target}{more}: {rule}; to allow it: {key}")
}

#[cfg(test)]
mod tests {
    use faas_types::Transport;

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

    #[test]
    fn a_connection_that_ended_is_one_line() {
        let connection = ClosedConnection {
            host: Some("api.example.com".to_owned()),
            address: [192, 0, 2, 7].into(),
            port: 443,
            transport: Transport::Tcp,
            sent: 517,
            received: 4_096,
            lasted: Duration::from_micros(1_234_567),
            unreported: 0,
        };
        let line = |connection: ClosedConnection| {
            let entry = line_of(NetworkEvent::Closed(connection), Timestamp::from_millis(5));
            assert_eq!((entry.level, entry.stream), (LogLevel::Info, LogStream::Platform));
            entry.message
        };
        assert_eq!(
            line(connection.clone()),
            "network: tcp to api.example.com:443 (192.0.2.7): 517 bytes sent, 4096 received, 1.235 s"
        );
        let address = std::net::Ipv6Addr::LOCALHOST.into();
        let other = ClosedConnection { host: None, address, transport: Transport::Udp, unreported: 3, ..connection };
        assert_eq!(
            line(other),
            "network: udp to [::1]:443: 517 bytes sent, 4096 received, 1.235 s (3 more ended before it)"
        );
    }
}
