//! The queue of one pool: oldest first, callers before background runs. Every operation is O(log n).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Whether a caller waits for the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Urgency {
    /// A caller waits for the reply.
    Caller,
    /// A background run, which may be served later.
    Background,
}

/// The position of a call in a queue: lower is older. A call that moves to another pool keeps its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueuePosition {
    place: u64,
    /// Pools that were closed while it waited for them.
    moves: u8,
}

/// How often a call moves on to the pool that takes over. Then it is served by the pool for which it waits: pools that are
/// replaced faster than an instance starts would never serve it.
const MOVES_MAX: u8 = 2;

/// The calls that wait for one pool.
pub(crate) struct Queue<W> {
    callers: BTreeMap<QueuePosition, Waiting<W>>,
    background: BTreeMap<QueuePosition, Waiting<W>>,
    /// Calls that were taken out in their position.
    served: u64,
}

struct Waiting<W> {
    since: Instant,
    /// How many had been served by then.
    behind: u64,
    waiter: W,
}

/// What the oldest waiting call has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// How long it has waited.
    pub waited: Duration,
    /// How many calls were served meanwhile.
    pub served: u64,
}

// === impl QueuePosition ===

impl QueuePosition {
    pub(crate) fn new(place: u64) -> Self {
        Self { place, moves: 0 }
    }

    fn moved(self) -> Self {
        Self { moves: self.moves.saturating_add(1), ..self }
    }
}

// === impl Queue ===

impl<W> Queue<W> {
    pub(crate) fn new() -> Self {
        Self { callers: BTreeMap::new(), background: BTreeMap::new(), served: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.callers.len() + self.background.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.callers.is_empty() && self.background.is_empty()
    }

    /// Whether only background runs wait.
    pub(crate) fn is_background(&self) -> bool {
        self.callers.is_empty()
    }

    pub(crate) fn push(&mut self, position: QueuePosition, urgency: Urgency, waiter: W, since: Instant) {
        let line = match urgency {
            Urgency::Caller => &mut self.callers,
            Urgency::Background => &mut self.background,
        };
        line.insert(position, Waiting { since, behind: self.served, waiter });
    }

    /// Takes the next call, with the time since which it waited.
    pub(crate) fn pop(&mut self) -> Option<(QueuePosition, W, Instant)> {
        let (position, waiting) = self.callers.pop_first().or_else(|| self.background.pop_first())?;
        self.served += 1;
        Some((position, waiting.waiter, waiting.since))
    }

    /// Takes the calls that move on when the pool closes, with their positions in the next one.
    pub(crate) fn take_moving(&mut self) -> Vec<(QueuePosition, W)> {
        let lines = [&mut self.callers, &mut self.background];
        let moving = lines.into_iter().flat_map(|line| line.extract_if(.., |position, _| position.moves < MOVES_MAX));
        moving.map(|(position, waiting)| (position.moved(), waiting.waiter)).collect()
    }

    pub(crate) fn remove(&mut self, position: QueuePosition) -> Option<W> {
        let waiting = self.callers.remove(&position).or_else(|| self.background.remove(&position));
        waiting.map(|waiting| waiting.waiter)
    }

    /// What the oldest waiting call has seen; nothing when the queue is empty.
    pub(crate) fn progress(&self, now: Instant) -> Progress {
        let lines = [&self.callers, &self.background];
        let oldest = lines.into_iter().filter_map(|line| line.values().next()).min_by_key(|waiting| waiting.since);
        oldest.map_or_else(Progress::default, |waiting| Progress {
            waited: now.saturating_duration_since(waiting.since),
            served: self.served - waiting.behind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_caller_goes_first_and_background_last() {
        let (now, mut queue) = (Instant::now(), Queue::new());
        for (position, urgency) in [(3, Urgency::Caller), (1, Urgency::Background), (2, Urgency::Caller)] {
            queue.push(QueuePosition::new(position), urgency, position, now);
        }
        assert_eq!(queue.remove(QueuePosition::new(9)), None);
        let later = now + Duration::from_secs(1);
        assert_eq!(queue.progress(later), Progress { waited: Duration::from_secs(1), served: 0 });
        let order: Vec<_> = std::iter::from_fn(|| queue.pop().map(|(_, waiter, _)| waiter)).collect();
        assert_eq!(order, [2, 3, 1]);
        assert_eq!(queue.progress(later), Progress::default());
        queue.push(QueuePosition::new(4), Urgency::Caller, 4, now);
        assert_eq!(queue.progress(now).served, 0, "those before it do not count");
    }

    #[test]
    fn a_call_moves_a_few_times_and_then_stays() {
        let (now, mut queue, mut position) = (Instant::now(), Queue::new(), QueuePosition::new(5));
        for moves in 1..=MOVES_MAX {
            queue.push(position, Urgency::Caller, 'a', now);
            let moved = queue.take_moving();
            assert_eq!(moved, [(QueuePosition { place: 5, moves }, 'a')]);
            position = moved[0].0;
        }
        queue.push(position, Urgency::Caller, 'a', now);
        queue.push(QueuePosition::new(6), Urgency::Background, 'b', now);
        assert_eq!(queue.take_moving(), [(QueuePosition { place: 6, moves: 1 }, 'b')]);
        assert_eq!(queue.pop().map(|(_, waiter, _)| waiter), Some('a'), "it stays");
    }
}
