//! The serving instances of one pool, by free slots. Taking and returning a slot are O(1).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One instance of a pool. Never refers to another one, even after its place in the table was used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InstanceIndex {
    index: usize,
    generation: u64,
}

/// The serving instances of a pool.
pub(crate) struct Instances<S> {
    table: Vec<Option<LiveInstance<S>>>,
    vacant: Vec<usize>,
    /// Without a call, the longest idle first.
    idle: VecDeque<InstanceIndex>,
    /// With calls and free slots. The last one takes the next call.
    partial: Vec<InstanceIndex>,
    generations: u64,
    count: u32,
}

/// A serving instance.
pub(crate) struct LiveInstance<S> {
    pub instance: S,
    pub memory: u64,
    pub born: Instant,
    pub calls: u32,
    generation: u64,
    concurrency: u32,
    idle_since: Instant,
    /// Its position in `partial`.
    partial_at: usize,
}

// === impl Instances ===

impl<S: Clone> Instances<S> {
    pub(crate) fn new() -> Self {
        Self {
            table: Vec::new(),
            vacant: Vec::new(),
            idle: VecDeque::new(),
            partial: Vec::new(),
            generations: 0,
            count: 0,
        }
    }

    /// Serving instances.
    pub(crate) fn live(&self) -> u32 {
        self.count
    }

    /// Instances without a call.
    pub(crate) fn idle(&self) -> u32 {
        u32::try_from(self.idle.len()).unwrap_or(u32::MAX)
    }

    /// Instances with a call.
    pub(crate) fn in_use(&self) -> u32 {
        self.count - self.idle()
    }

    /// The index that the next instance gets.
    pub(crate) fn next_index(&self) -> InstanceIndex {
        InstanceIndex { index: self.vacant.last().copied().unwrap_or(self.table.len()), generation: self.generations }
    }

    /// Adds an idle instance, at [`next_index`](Self::next_index).
    pub(crate) fn add(&mut self, instance: S, concurrency: u32, memory: u64, now: Instant) -> InstanceIndex {
        let at = self.next_index();
        let live = LiveInstance {
            instance,
            memory,
            born: now,
            calls: 0,
            generation: at.generation,
            concurrency: concurrency.max(1),
            idle_since: now,
            partial_at: 0,
        };
        if self.vacant.pop().is_some() {
            self.table[at.index] = Some(live);
        } else {
            self.table.push(Some(live));
        }
        self.generations += 1;
        self.count += 1;
        self.idle.push_back(at);
        at
    }

    pub(crate) fn get_mut(&mut self, at: InstanceIndex) -> Option<&mut LiveInstance<S>> {
        self.table.get_mut(at.index)?.as_mut().filter(|live| live.generation == at.generation)
    }

    /// A slot of an instance that is in use, else of the one that was used last, so that the others fall idle and can be
    /// stopped.
    pub(crate) fn take(&mut self) -> Option<S> {
        let (at, was_idle) = match self.partial.last() {
            Some(at) => (*at, false),
            None => (self.idle.pop_back()?, true),
        };
        let partial_at = self.partial.len();
        let live = self.table[at.index].as_mut()?;
        live.calls += 1;
        let is_full = live.calls == live.concurrency;
        let instance = live.instance.clone();
        if was_idle && !is_full {
            live.partial_at = partial_at;
            self.partial.push(at);
        } else if !was_idle && is_full {
            self.partial.pop();
        }
        Some(instance)
    }

    /// Returns a slot. The result tells whether the instance is idle now; `None` when it no longer serves.
    pub(crate) fn give_back(&mut self, at: InstanceIndex, now: Instant) -> Option<bool> {
        let end = self.partial.len();
        let live = self.get_mut(at)?;
        let was_full = live.calls == live.concurrency;
        live.calls = live.calls.saturating_sub(1);
        let is_idle = live.calls == 0;
        let partial_at = live.partial_at;
        if is_idle {
            live.idle_since = now;
            self.idle.push_back(at);
            if !was_full {
                self.leave_partial(partial_at);
            }
        } else if was_full {
            live.partial_at = end;
            self.partial.push(at);
        }
        Some(is_idle)
    }

    /// Takes an instance out of service. O(n) for one that is idle but not the longest.
    pub(crate) fn remove(&mut self, at: InstanceIndex) -> Option<LiveInstance<S>> {
        self.get_mut(at)?;
        let live = self.table[at.index].take()?;
        self.vacant.push(at.index);
        self.count -= 1;
        if live.calls == 0 {
            match self.idle.front() {
                Some(first) if *first == at => drop(self.idle.pop_front()),
                _ => self.idle.retain(|other| *other != at),
            }
        } else if live.calls < live.concurrency {
            self.leave_partial(live.partial_at);
        }
        Some(live)
    }

    fn leave_partial(&mut self, partial_at: usize) {
        self.partial.swap_remove(partial_at);
        if let Some(moved) = self.partial.get(partial_at).copied()
            && let Some(live) = self.get_mut(moved)
        {
            live.partial_at = partial_at;
        }
    }

    /// The longest idle instance, and for how long it is idle.
    pub(crate) fn idle_longest(&self, now: Instant) -> Option<(InstanceIndex, Duration)> {
        let at = *self.idle.front()?;
        let live = self.table[at.index].as_ref()?;
        Some((at, now.saturating_duration_since(live.idle_since)))
    }

    /// Every serving instance.
    pub(crate) fn indices(&self) -> Vec<InstanceIndex> {
        let serving = self.table.iter().enumerate();
        serving
            .filter_map(|(index, live)| live.as_ref().map(|live| InstanceIndex { index, generation: live.generation }))
            .collect()
    }

    /// The next instance at or after `turn` in the table, for periodic work on each in turn.
    pub(crate) fn nth(&self, turn: usize) -> Option<(InstanceIndex, S)> {
        let length = self.table.len();
        (0..length).map(|step| (turn + step) % length).find_map(|index| {
            let live = self.table[index].as_ref()?;
            Some((InstanceIndex { index, generation: live.generation }, live.instance.clone()))
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
        let mut instances = Instances::new();
        for name in ["a", "b"] {
            instances.add(name, 2, 0, now);
        }
        let order: Vec<_> = std::iter::from_fn(|| instances.take()).collect();
        assert_eq!(order, ["b", "b", "a", "a"]);
    }

    #[test]
    fn an_index_never_refers_to_a_later_instance() {
        let now = Instant::now();
        let mut instances = Instances::new();
        let first = instances.add("a", 1, 0, now);
        instances.remove(first);
        let second = instances.add("b", 1, 0, now);
        assert_eq!(first.index, second.index);
        assert!(instances.remove(first).is_none() && instances.give_back(first, now).is_none());
        assert_eq!(instances.live(), 1);
    }

    proptest! {
        #[test]
        fn counts_hold_after_any_steps(steps in proptest::collection::vec((0..4_u8, 0..16_usize), 1..200), wide in 1..4_u32) {
            let now = Instant::now();
            let mut instances = Instances::new();
            let (mut taken, mut indices) = (Vec::<InstanceIndex>::new(), Vec::<InstanceIndex>::new());
            for (step, pick) in steps {
                match step {
                    0 => {
                        let at = instances.next_index();
                        indices.push(instances.add(at, wide, 0, now));
                    }
                    1 => taken.extend(instances.take()),
                    2 if !taken.is_empty() => drop(instances.give_back(taken.swap_remove(pick % taken.len()), now)),
                    3 if !indices.is_empty() => {
                        let at = indices.swap_remove(pick % indices.len());
                        prop_assert!(instances.remove(at).is_some());
                        taken.retain(|other| *other != at);
                    }
                    _ => {}
                }
                let calls = |at: &InstanceIndex| u32::try_from(taken.iter().filter(|other| *other == at).count()).unwrap_or(0);
                prop_assert_eq!(instances.live() as usize, indices.len());
                prop_assert_eq!(instances.idle() as usize, indices.iter().filter(|at| calls(at) == 0).count());
                let open = indices.iter().filter(|at| (1..wide).contains(&calls(at))).count();
                prop_assert_eq!(instances.partial.len(), open);
                for (partial_at, at) in instances.partial.clone().into_iter().enumerate() {
                    prop_assert_eq!(instances.get_mut(at).map(|live| live.partial_at), Some(partial_at));
                }
            }
        }
    }
}
