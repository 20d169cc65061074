//! When each trigger is due. Pure.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use faas_types::{Timestamp, TriggerId};

/// Triggers by the time at which they are due.
#[derive(Debug, Default)]
pub(super) struct TimerQueue {
    /// The time that counts for each trigger. Other entries of the heap are out of date.
    times: HashMap<TriggerId, Timestamp>,
    heap: BinaryHeap<Reverse<(Timestamp, TriggerId)>>,
}

// === impl TimerQueue ===

impl TimerQueue {
    /// Replaces the time of a trigger; `None` removes it.
    pub(super) fn set(&mut self, id: TriggerId, time: Option<Timestamp>) {
        match time {
            Some(time) => {
                if self.times.insert(id, time) != Some(time) {
                    self.heap.push(Reverse((time, id)));
                }
            }
            None => drop(self.times.remove(&id)),
        }
    }

    /// Removes and returns what is due by `now`.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<TriggerId> {
        let mut due = Vec::new();
        while let Some(time) = self.next() {
            if time > now {
                break;
            }
            let Some(Reverse((_, id))) = self.heap.pop() else { break };
            self.times.remove(&id);
            due.push(id);
        }
        due
    }

    /// The earliest time.
    pub(super) fn next(&mut self) -> Option<Timestamp> {
        while let Some(Reverse((time, id))) = self.heap.peek() {
            if self.times.get(id) == Some(time) {
                return Some(*time);
            }
            self.heap.pop();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_time_of_each_counts() {
        let (a, b) = (TriggerId::from_u128(1), TriggerId::from_u128(2));
        let at = Timestamp::from_millis;
        let mut timer_queue = TimerQueue::default();
        timer_queue.set(a, Some(at(50)));
        timer_queue.set(b, Some(at(20)));
        timer_queue.set(a, Some(at(10)));
        assert_eq!(timer_queue.next(), Some(at(10)));
        assert_eq!(timer_queue.take_due(at(15)), [a]);
        timer_queue.set(a, Some(at(50)));
        timer_queue.set(b, None);
        assert_eq!((timer_queue.take_due(at(30)), timer_queue.next()), (vec![], Some(at(50))));
        assert_eq!(timer_queue.take_due(at(50)), [a]);
        assert_eq!(timer_queue.take_due(at(50)), []);
    }
}
