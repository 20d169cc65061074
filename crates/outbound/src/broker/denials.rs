//! Reports of refused attempts to an instance: each kind once in a while, with the number of repetitions.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use faas_ports::{ClosedConnection, NetworkDenial, NetworkEvent};
use tokio::sync::mpsc;

use super::bucket::Bucket;

/// How long a kind of attempt is only counted after it was told.
const QUIET: Duration = Duration::from_secs(10);
/// Maximum number of kinds that are counted apart.
const KINDS_MAX: usize = 128;
/// Maximum number of ended connections that are reported in a second.
const CLOSED_RATE: u32 = 50;

/// The refused attempts of one instance.
#[derive(Debug)]
pub(super) struct Denials {
    events: mpsc::Sender<NetworkEvent>,
    told: HashMap<Kind, Told>,
    /// Attempts that nothing was told of, and that no kind counts.
    lost: u64,
    /// Ended connections that may be told of, once there was one.
    closed: Option<Bucket>,
    unreported: u64,
}

type Kind = (String, Option<u16>, &'static str, String);

#[derive(Debug)]
struct Told {
    at: Instant,
    since: u64,
}

// === impl Denials ===

impl Denials {
    pub(super) fn new(events: mpsc::Sender<NetworkEvent>) -> Self {
        Self { events, told: HashMap::new(), lost: 0, closed: None, unreported: 0 }
    }

    /// Tells of a refused attempt, or counts it. Never waits.
    pub(super) fn tell(&mut self, denial: NetworkDenial, now: Instant) {
        let kind = (denial.host.clone(), denial.port, denial.protocol, denial.rule.clone());
        if let Some(told) = self.told.get_mut(&kind)
            && now.saturating_duration_since(told.at) < QUIET
        {
            told.since += 1;
            return;
        }
        let since = self.told.get(&kind).map_or(0, |told| told.since);
        if !self.told.contains_key(&kind) && self.told.len() >= KINDS_MAX {
            let lost = &mut self.lost;
            self.told.retain(|_, told| {
                let stays = now.saturating_duration_since(told.at) < QUIET;
                *lost += if stays { 0 } else { told.since };
                stays
            });
            if self.told.len() >= KINDS_MAX {
                self.lost += 1;
                return;
            }
        }
        let denial = NetworkDenial { repeated: denial.repeated + since + self.lost, ..denial };
        match self.events.try_send(NetworkEvent::Denied(denial)) {
            Ok(()) => {
                self.lost = 0;
                self.told.insert(kind, Told { at: now, since: 0 });
            }
            Err(_) => self.lost += 1,
        }
    }

    /// The next attempt of each kind is reported.
    pub(super) fn forget(&mut self) {
        self.told.clear();
    }

    /// Tells of a connection that has ended, or counts it.
    pub(super) fn closed(&mut self, connection: ClosedConnection, now: Instant) {
        let may = self.closed.get_or_insert_with(|| Bucket::new(CLOSED_RATE, now)).take(now);
        let connection = ClosedConnection { unreported: self.unreported, ..connection };
        match may.then(|| self.events.try_send(NetworkEvent::Closed(connection))) {
            Some(Ok(())) => self.unreported = 0,
            _ => self.unreported += 1,
        }
    }

    /// Tells that connections were lost with the process that carried them.
    pub(super) fn interrupted(&self) {
        // A receiver that does not read has enough to read already.
        let _ = self.events.try_send(NetworkEvent::Interrupted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(host: &str) -> NetworkDenial {
        let (rule, key) = ("a rule".to_owned(), "a key".to_owned());
        NetworkDenial { host: host.to_owned(), port: Some(443), protocol: "tcp", rule, key, repeated: 0 }
    }

    #[test]
    fn ended_connections_are_told_of_within_a_rate_and_the_others_counted() {
        let (sender, mut events) = mpsc::channel(64);
        let (mut denials, now) = (Denials::new(sender), Instant::now());
        let mut told = |denials: &mut Denials, at: Instant| {
            let (address, transport) = ([192, 0, 2, 7].into(), faas_types::Transport::Tcp);
            let (sent, received, lasted) = (1, 2, Duration::ZERO);
            let one =
                ClosedConnection { host: None, address, port: 443, transport, sent, received, lasted, unreported: 0 };
            denials.closed(one, at);
            match events.try_recv() {
                Ok(NetworkEvent::Closed(connection)) => Some(connection.unreported),
                _ => None,
            }
        };
        let burst = (0..1_000).filter(|_| told(&mut denials, now).is_some()).count();
        assert_eq!(burst, 2 * CLOSED_RATE as usize);
        assert_eq!(told(&mut denials, now + Duration::from_secs(1)), Some(900));
    }

    #[test]
    fn repeated_attempts_are_counted_and_nothing_waits() {
        let (sender, mut events) = mpsc::channel(2);
        let (mut denials, now) = (Denials::new(sender), Instant::now());
        for _ in 0..100 {
            denials.tell(denial("a.example"), now);
        }
        denials.tell(denial("b.example"), now);
        denials.tell(denial("c.example"), now);
        let mut told = || match events.try_recv() {
            Ok(NetworkEvent::Denied(denial)) => Some((denial.host, denial.repeated)),
            _ => None,
        };
        assert_eq!(told(), Some(("a.example".into(), 0)));
        assert_eq!((told(), told()), (Some(("b.example".into(), 0)), None), "there was no room for the third");
        denials.tell(denial("a.example"), now + QUIET);
        assert_eq!(told(), Some(("a.example".into(), 100)), "99 of its own and one that was lost");
        for n in 0..10_000 {
            denials.tell(denial(&format!("{n}.example")), now + QUIET);
            let _ = told();
        }
        assert!(denials.told.len() <= KINDS_MAX);
        denials.tell(denial("z.example"), now + 3 * QUIET);
        assert!(told().is_some_and(|(_, repeated)| repeated > 9_000));
    }
}
