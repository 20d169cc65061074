//! When things want to be looked at.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

/// One moment for each key that waits for time to pass.
#[derive(Debug)]
pub struct Timers<K> {
    order: BTreeSet<(Duration, K)>,
    due: HashMap<K, Duration>,
}

// === impl Timers ===

impl<K: Copy + Ord + Hash> Timers<K> {
    /// Has the key looked at no later than `due`. It may be earlier: then its timer is to be set again.
    pub fn set(&mut self, key: K, due: Duration) {
        match self.due.get(&key) {
            Some(set) if *set <= due => return,
            Some(set) => {
                self.order.remove(&(*set, key));
            }
            None => {}
        }
        self.due.insert(key, due);
        self.order.insert((due, key));
    }

    /// Drops a key's timer.
    pub fn remove(&mut self, key: K) {
        if let Some(due) = self.due.remove(&key) {
            self.order.remove(&(due, key));
        }
    }

    /// The next key that is due, without its timer.
    pub fn next(&mut self, now: Duration) -> Option<K> {
        let (due, key) = *self.order.first()?;
        if due > now {
            return None;
        }
        self.remove(key);
        Some(key)
    }

    /// When the first is due.
    pub fn due(&self) -> Option<Duration> {
        self.order.first().map(|(due, _)| *due)
    }
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { order: BTreeSet::new(), due: HashMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::FlowId;

    #[test]
    fn a_flow_has_one_timer_and_the_earliest_counts() {
        let mut timers = Timers::default();
        let at = Duration::from_secs;
        timers.set(FlowId(1), at(5));
        timers.set(FlowId(1), at(9));
        timers.set(FlowId(2), at(4));
        timers.set(FlowId(1), at(3));
        timers.set(FlowId(3), at(1));
        timers.remove(FlowId(3));
        assert_eq!(timers.due(), Some(at(3)));
        assert_eq!(timers.next(at(2)), None);
        assert_eq!(
            [timers.next(at(4)), timers.next(at(4)), timers.next(at(99))],
            [Some(FlowId(1)), Some(FlowId(2)), None]
        );
        assert!(timers.order.is_empty() && timers.due.is_empty());
    }
}
