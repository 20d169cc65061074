//! What an instance is told of refused attempts: each kind once in a while, and how often it came meanwhile.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use faas_ports::{NetworkDenial, NetworkEvent};
use tokio::sync::mpsc;

/// How long a kind of attempt is only counted after it was told.
const QUIET: Duration = Duration::from_secs(10);
/// Kinds that are told apart.
const KINDS_MAX: usize = 128;

/// The refused attempts of one instance.
#[derive(Debug)]
pub(super) struct Denials {
    events: mpsc::Sender<NetworkEvent>,
    told: HashMap<Kind, Told>,
    /// Attempts that nothing was told of, and that no kind counts.
    lost: u64,
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
        Self { events, told: HashMap::new(), lost: 0 }
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
