//! The instances of one pool that serve, by what they can take. Taking and giving back are O(1).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One instance of a pool. Never means another one, also when its place in the table is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seat {
    index: usize,
    serial: u64,
}

/// The instances that serve.
pub(crate) struct Crew<S> {
    members: Vec<Option<Member<S>>>,
    vacant: Vec<usize>,
    /// Without a call; the one that idles longest is in front.
    idle: VecDeque<Seat>,
    /// With a call and able to take another; the next one to take it is at the end.
    partial: Vec<Seat>,
    serials: u64,
    live: u32,
}

/// An instance that serves.
pub(crate) struct Member<S> {
    pub instance: S,
    pub memory: u64,
    pub born: Instant,
    pub calls: u32,
    serial: u64,
    concurrency: u32,
    idle_since: Instant,
    /// Where it stands in `partial`.
    spot: usize,
}

// === impl Crew ===

impl<S: Clone> Crew<S> {
    pub(crate) fn new() -> Self {
        Self {
            members: Vec::new(),
            vacant: Vec::new(),
            idle: VecDeque::new(),
            partial: Vec::new(),
            serials: 0,
            live: 0,
        }
    }

    /// Instances that serve.
    pub(crate) fn live(&self) -> u32 {
        self.live
    }

    /// Instances without a call.
    pub(crate) fn idle(&self) -> u32 {
        u32::try_from(self.idle.len()).unwrap_or(u32::MAX)
    }

    /// Instances with a call.
    pub(crate) fn in_use(&self) -> u32 {
        self.live - self.idle()
    }

    /// The seat that the next instance gets.
    pub(crate) fn next_seat(&self) -> Seat {
        Seat { index: self.vacant.last().copied().unwrap_or(self.members.len()), serial: self.serials }
    }

    /// Adds an idle instance, at [`next_seat`](Self::next_seat).
    pub(crate) fn add(&mut self, instance: S, concurrency: u32, memory: u64, now: Instant) -> Seat {
        let seat = self.next_seat();
        let member = Member {
            instance,
            memory,
            born: now,
            calls: 0,
            serial: seat.serial,
            concurrency: concurrency.max(1),
            idle_since: now,
            spot: 0,
        };
        if self.vacant.pop().is_some() {
            self.members[seat.index] = Some(member);
        } else {
            self.members.push(Some(member));
        }
        self.serials += 1;
        self.live += 1;
        self.idle.push_back(seat);
        seat
    }

    pub(crate) fn get_mut(&mut self, seat: Seat) -> Option<&mut Member<S>> {
        self.members.get_mut(seat.index)?.as_mut().filter(|member| member.serial == seat.serial)
    }

    /// A place in the instance that is in use already, or else in the one that was used last, so that the others can
    /// fall idle and leave.
    pub(crate) fn take(&mut self) -> Option<S> {
        let (seat, was_idle) = match self.partial.last() {
            Some(seat) => (*seat, false),
            None => (self.idle.pop_back()?, true),
        };
        let spot = self.partial.len();
        let member = self.members[seat.index].as_mut()?;
        member.calls += 1;
        let is_full = member.calls == member.concurrency;
        let instance = member.instance.clone();
        if was_idle && !is_full {
            member.spot = spot;
            self.partial.push(seat);
        } else if !was_idle && is_full {
            self.partial.pop();
        }
        Some(instance)
    }

    /// Counts a call out; returns whether the instance is idle now, and `None` when it serves no more.
    pub(crate) fn give_back(&mut self, seat: Seat, now: Instant) -> Option<bool> {
        let spot = self.partial.len();
        let member = self.get_mut(seat)?;
        let was_full = member.calls == member.concurrency;
        member.calls = member.calls.saturating_sub(1);
        let is_idle = member.calls == 0;
        let at = member.spot;
        if is_idle {
            member.idle_since = now;
            self.idle.push_back(seat);
            if !was_full {
                self.leave_partial(at);
            }
        } else if was_full {
            member.spot = spot;
            self.partial.push(seat);
        }
        Some(is_idle)
    }

    /// Takes an instance out of service. O(n) for one that idles among others.
    pub(crate) fn remove(&mut self, seat: Seat) -> Option<Member<S>> {
        self.get_mut(seat)?;
        let member = self.members[seat.index].take()?;
        self.vacant.push(seat.index);
        self.live -= 1;
        if member.calls == 0 {
            match self.idle.front() {
                Some(first) if *first == seat => drop(self.idle.pop_front()),
                _ => self.idle.retain(|other| *other != seat),
            }
        } else if member.calls < member.concurrency {
            self.leave_partial(member.spot);
        }
        Some(member)
    }

    fn leave_partial(&mut self, spot: usize) {
        self.partial.swap_remove(spot);
        if let Some(moved) = self.partial.get(spot).copied()
            && let Some(member) = self.get_mut(moved)
        {
            member.spot = spot;
        }
    }

    /// The instance that idles longest, and for how long.
    pub(crate) fn idle_longest(&self, now: Instant) -> Option<(Seat, Duration)> {
        let seat = *self.idle.front()?;
        let member = self.members[seat.index].as_ref()?;
        Some((seat, now.saturating_duration_since(member.idle_since)))
    }

    /// Every instance that serves.
    pub(crate) fn seats(&self) -> Vec<Seat> {
        let serving = self.members.iter().enumerate();
        serving.filter_map(|(index, member)| member.as_ref().map(|m| Seat { index, serial: m.serial })).collect()
    }

    /// One instance after another, for something that is done to each now and then.
    pub(crate) fn nth(&self, turn: usize) -> Option<(Seat, S)> {
        let length = self.members.len();
        (0..length).map(|step| (turn + step) % length).find_map(|index| {
            let member = self.members[index].as_ref()?;
            Some((Seat { index, serial: member.serial }, member.instance.clone()))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn calls_pack_into_the_instance_that_is_in_use() {
        let now = Instant::now();
        let mut crew = Crew::new();
        for name in ["a", "b"] {
            crew.add(name, 2, 0, now);
        }
        let order: Vec<_> = std::iter::from_fn(|| crew.take()).collect();
        assert_eq!(order, ["b", "b", "a", "a"]);
    }

    #[test]
    fn a_seat_never_means_the_next_who_sits_there() {
        let now = Instant::now();
        let mut crew = Crew::new();
        let first = crew.add("a", 1, 0, now);
        crew.remove(first);
        let second = crew.add("b", 1, 0, now);
        assert_eq!(first.index, second.index);
        assert!(crew.remove(first).is_none() && crew.give_back(first, now).is_none());
        assert_eq!(crew.live(), 1);
    }

    proptest! {
        #[test]
        fn counts_hold_whatever_happens(steps in proptest::collection::vec((0..4_u8, 0..16_usize), 1..200), wide in 1..4_u32) {
            let now = Instant::now();
            let mut crew = Crew::new();
            let (mut taken, mut seats) = (Vec::<Seat>::new(), Vec::<Seat>::new());
            for (step, pick) in steps {
                match step {
                    0 => {
                        let seat = crew.next_seat();
                        seats.push(crew.add(seat, wide, 0, now));
                    }
                    1 => taken.extend(crew.take()),
                    2 if !taken.is_empty() => drop(crew.give_back(taken.swap_remove(pick % taken.len()), now)),
                    3 if !seats.is_empty() => {
                        let seat = seats.swap_remove(pick % seats.len());
                        prop_assert!(crew.remove(seat).is_some());
                        taken.retain(|other| *other != seat);
                    }
                    _ => {}
                }
                let calls = |seat: &Seat| u32::try_from(taken.iter().filter(|other| *other == seat).count()).unwrap_or(0);
                prop_assert_eq!(crew.live() as usize, seats.len());
                prop_assert_eq!(crew.idle() as usize, seats.iter().filter(|seat| calls(seat) == 0).count());
                let open = seats.iter().filter(|seat| (1..wide).contains(&calls(seat))).count();
                prop_assert_eq!(crew.partial.len(), open);
                for (spot, seat) in crew.partial.clone().into_iter().enumerate() {
                    prop_assert_eq!(crew.get_mut(seat).map(|member| member.spot), Some(spot));
                }
            }
        }
    }
}
