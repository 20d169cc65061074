//! When flows want to be looked at.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::output::FlowId;

/// One moment for each flow that waits for time to pass.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    order: BTreeSet<(Duration, FlowId)>,
    due: HashMap<FlowId, Duration>,
}

// === impl Timers ===

impl Timers {
    /// Has the flow looked at no later than `due`. It may be earlier: then it sets its timer again.
    pub(crate) fn set(&mut self, flow: FlowId, due: Duration) {
        match self.due.get(&flow) {
            Some(set) if *set <= due => return,
            Some(set) => {
                self.order.remove(&(*set, flow));
            }
            None => {}
        }
        self.due.insert(flow, due);
        self.order.insert((due, flow));
    }

    pub(crate) fn remove(&mut self, flow: FlowId) {
        if let Some(due) = self.due.remove(&flow) {
            self.order.remove(&(due, flow));
        }
    }

    /// The next flow that is due, without its timer.
    pub(crate) fn next(&mut self, now: Duration) -> Option<FlowId> {
        let (due, flow) = *self.order.first()?;
        if due > now {
            return None;
        }
        self.remove(flow);
        Some(flow)
    }

    pub(crate) fn due(&self) -> Option<Duration> {
        self.order.first().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
