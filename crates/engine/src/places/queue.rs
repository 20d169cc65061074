//! The calls that wait for one pool: oldest first, callers before background work. Every step is O(log n).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Urgency {
    /// Somebody waits for the answer.
    Caller,
    /// Nobody does: the work is on a queue and may run later.
    Background,
}

/// A call's turn: lower is older. Kept when a call moves to another pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Turn(pub u64);

/// The calls that wait for one pool.
pub(crate) struct Queue<W> {
    callers: BTreeMap<Turn, Waiting<W>>,
    background: BTreeMap<Turn, Waiting<W>>,
}

struct Waiting<W> {
    since: Instant,
    waiter: W,
}

// === impl Queue ===

impl<W> Queue<W> {
    pub(crate) fn new() -> Self {
        Self { callers: BTreeMap::new(), background: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.callers.len() + self.background.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.callers.is_empty() && self.background.is_empty()
    }

    /// Whether nobody waits for an answer.
    pub(crate) fn is_background(&self) -> bool {
        self.callers.is_empty()
    }

    pub(crate) fn push(&mut self, turn: Turn, urgency: Urgency, waiter: W, since: Instant) {
        let line = match urgency {
            Urgency::Caller => &mut self.callers,
            Urgency::Background => &mut self.background,
        };
        line.insert(turn, Waiting { since, waiter });
    }

    /// Whose turn it is, and since when it waited.
    pub(crate) fn pop(&mut self) -> Option<(Turn, W, Instant)> {
        let (turn, waiting) = self.callers.pop_first().or_else(|| self.background.pop_first())?;
        Some((turn, waiting.waiter, waiting.since))
    }

    pub(crate) fn remove(&mut self, turn: Turn) -> Option<W> {
        let waiting = self.callers.remove(&turn).or_else(|| self.background.remove(&turn));
        waiting.map(|waiting| waiting.waiter)
    }

    /// How long the oldest has waited.
    pub(crate) fn waited(&self, now: Instant) -> Duration {
        let first = |line: &BTreeMap<Turn, Waiting<W>>| line.first_key_value().map(|(_, waiting)| waiting.since);
        let oldest = first(&self.callers).into_iter().chain(first(&self.background)).min();
        oldest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_caller_goes_first_and_background_last() {
        let (now, mut queue) = (Instant::now(), Queue::new());
        for (turn, urgency) in [(3, Urgency::Caller), (1, Urgency::Background), (2, Urgency::Caller)] {
            queue.push(Turn(turn), urgency, turn, now);
        }
        assert_eq!(queue.remove(Turn(9)), None);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop().map(|(_, waiter, _)| waiter)).collect();
        assert_eq!(order, [2, 3, 1]);
    }
}
