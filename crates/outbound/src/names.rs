//! Which names led to an address: what a rule by name is held against. Pure.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an answer counts at least: programs keep addresses longer than their answers say.
pub(crate) const KEPT: Duration = Duration::from_secs(600);
/// How long an answer counts at most, whatever it says.
const KEPT_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Answers that one instance is remembered with.
const ANSWERS_MAX: usize = 4_096;
/// Names of one address: each connection to it holds them all.
const NAMES_MAX: usize = 32;

/// What the name server of one instance has answered.
#[derive(Debug)]
pub(crate) struct NameMemory {
    /// How long an answer counts at least.
    kept: Duration,
    by_address: HashMap<IpAddr, Known>,
    answers: usize,
}

#[derive(Debug, Default)]
struct Known {
    names: Vec<(Arc<str>, Instant)>,
    /// Connections to the address that are open; names stay while there is one.
    pins: u32,
}

// === impl NameMemory ===

impl NameMemory {
    pub(crate) fn new(kept: Duration) -> Self {
        Self { kept, by_address: HashMap::new(), answers: 0 }
    }

    /// Remembers that a name, in lower case, led to an address. When there is no room left, the answers that end first go.
    pub(crate) fn remember(&mut self, name: &Arc<str>, address: IpAddr, ttl: Duration, now: Instant) {
        let until = now + ttl.clamp(self.kept, KEPT_MAX);
        if self.answers >= ANSWERS_MAX {
            self.make_room(now);
        }
        if self.answers >= ANSWERS_MAX {
            return;
        }
        let known = self.by_address.entry(address).or_default();
        if let Some((_, end)) = known.names.iter_mut().find(|(own, _)| own == name) {
            *end = until.max(*end);
        } else if known.names.len() < NAMES_MAX {
            known.names.push((Arc::clone(name), until));
            self.answers += 1;
        } else if let Some(first) = known.names.iter_mut().min_by_key(|(_, until)| *until) {
            // The name that ends first makes room.
            *first = (Arc::clone(name), until);
        }
    }

    /// The names of an address that still count.
    #[must_use]
    pub(crate) fn of(&self, address: IpAddr, now: Instant) -> Vec<Arc<str>> {
        let Some(known) = self.by_address.get(&address) else { return Vec::new() };
        let counts = |(_, until): &&(Arc<str>, Instant)| known.pins > 0 || *until > now;
        known.names.iter().filter(counts).map(|(name, _)| Arc::clone(name)).collect()
    }

    /// Names that an address had, though their time is over: they may be looked up again.
    #[must_use]
    pub(crate) fn lapsed(&self, address: IpAddr, now: Instant) -> Vec<Arc<str>> {
        let Some(known) = self.by_address.get(&address).filter(|known| known.pins == 0) else { return Vec::new() };
        known.names.iter().filter(|(_, until)| *until <= now).map(|(name, _)| Arc::clone(name)).collect()
    }

    /// Keeps the names of an address while a connection to it is open.
    pub(crate) fn pin(&mut self, address: IpAddr) {
        if let Some(known) = self.by_address.get_mut(&address) {
            known.pins += 1;
        }
    }

    /// Undoes one [`pin`](Self::pin).
    pub(crate) fn unpin(&mut self, address: IpAddr) {
        if let Some(known) = self.by_address.get_mut(&address) {
            known.pins = known.pins.saturating_sub(1);
        }
    }

    /// Drops what is over; where that is not enough, a quarter of the answers without a connection.
    fn make_room(&mut self, now: Instant) {
        self.keep(|until| until > now);
        if self.answers < ANSWERS_MAX {
            return;
        }
        let free = self.by_address.values().filter(|known| known.pins == 0);
        let mut ends: Vec<Instant> = free.flat_map(|known| known.names.iter().map(|(_, until)| *until)).collect();
        let at = ends.len() / 4;
        if at < ends.len() {
            let (_, end, _) = ends.select_nth_unstable(at);
            let end = *end;
            self.keep(|until| until > end);
        }
    }

    fn keep(&mut self, counts: impl Fn(Instant) -> bool) {
        self.by_address.retain(|_, known| {
            if known.pins == 0 {
                known.names.retain(|(_, until)| counts(*until));
            }
            !known.names.is_empty()
        });
        self.answers = self.by_address.values().map(|known| known.names.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn an_answer_counts_for_its_time_and_while_a_connection_is_open() {
        let (mut memory, now) = (NameMemory::new(KEPT), Instant::now());
        let name: Arc<str> = "a.example".into();
        memory.remember(&name, address(1), Duration::from_secs(1), now);
        memory.remember(&"b.example".into(), address(1), Duration::from_secs(9_000), now);
        assert_eq!(memory.of(address(1), now + Duration::from_secs(599)).len(), 2, "ten minutes at least");
        let later = now + Duration::from_secs(601);
        assert_eq!(memory.of(address(1), later), ["b.example".into()]);
        assert_eq!(memory.lapsed(address(1), later), ["a.example".into()]);
        memory.pin(address(1));
        assert_eq!(memory.of(address(1), now + Duration::from_secs(90_000)).len(), 2);
        memory.unpin(address(1));
        assert!(memory.of(address(1), now + Duration::from_secs(90_000)).is_empty());
        assert!(memory.of(address(2), now).is_empty());
    }

    #[test]
    fn a_flood_of_answers_is_bounded_and_spares_open_connections() {
        let (mut memory, now) = (NameMemory::new(KEPT), Instant::now());
        let kept: Arc<str> = "kept.example".into();
        memory.remember(&kept, address(0), Duration::ZERO, now);
        memory.pin(address(0));
        for n in 1..40_000 {
            memory.remember(
                &format!("{n}.example").into(),
                address(n),
                Duration::ZERO,
                now + Duration::from_millis(n.into()),
            );
            assert!(memory.answers <= ANSWERS_MAX);
        }
        let now = now + Duration::from_secs(40);
        assert_eq!(memory.of(address(0), now), [kept]);
        assert_eq!(memory.of(address(39_999), now).len(), 1, "the newest is known");
        assert!(memory.of(address(1), now).is_empty());
        for n in 0..9_000 {
            let name = format!("{n}.example").into();
            memory.remember(&name, address(7), Duration::ZERO, now + Duration::from_millis(n));
        }
        assert!(memory.answers <= ANSWERS_MAX && memory.by_address.len() <= ANSWERS_MAX);
        let names = memory.of(address(7), now);
        assert!(names.len() == NAMES_MAX && names.contains(&"8999.example".into()), "{names:?}");
    }
}
