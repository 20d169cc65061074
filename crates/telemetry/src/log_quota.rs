//! Limits how many log lines of each function may wait to be stored.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use faas_types::{FunctionId, LogLine, limits};
use parking_lot::Mutex;

/// Bytes of all lines that wait, with a fixed cost added to each.
const BYTES_MAX: u64 = 64 << 20;

/// Bytes of log lines that wait to be stored, by function. The lines of one function may take as much as would be left
/// free, so a function that floods its log loses its own lines and nobody else's.
#[derive(Debug, Default)]
pub(crate) struct LogQuota {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    total: u64,
    functions: HashMap<FunctionId, u64>,
}

fn cost(message: &str) -> u64 {
    message.len() as u64 + limits::LOG_LINE_COST
}

// === impl LogQuota ===

impl LogQuota {
    /// Reserves space for a line. False when the function is over its quota.
    pub(crate) fn admit(&self, function: FunctionId, message: &str) -> bool {
        let cost = cost(message);
        let mut waiting = self.waiting.lock();
        let left = BYTES_MAX.saturating_sub(waiting.total + cost);
        let own = waiting.functions.get(&function).copied().unwrap_or_default() + cost;
        if own > left {
            return false;
        }
        waiting.total += cost;
        waiting.functions.insert(function, own);
        true
    }

    /// Returns the space of a line that was not queued after all.
    pub(crate) fn give_back(&self, function: FunctionId, message: &str) {
        self.waiting.lock().remove(function, cost(message));
    }

    /// Returns the space of lines that have left the queue.
    pub(crate) fn dequeued<'a>(&self, lines: impl IntoIterator<Item = &'a LogLine>) {
        let mut waiting = self.waiting.lock();
        lines.into_iter().for_each(|line| waiting.remove(line.function, cost(&line.message)));
    }
}

// === impl Waiting ===

impl Waiting {
    fn remove(&mut self, function: FunctionId, cost: u64) {
        self.total = self.total.saturating_sub(cost);
        if let Entry::Occupied(mut entry) = self.functions.entry(function) {
            *entry.get_mut() = entry.get().saturating_sub(cost);
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use faas_types::{LogLevel, LogStream, ProjectId, Timestamp};

    use super::*;

    fn flood(quota: &LogQuota, function: FunctionId) -> u64 {
        (0..u64::MAX).take_while(|_| quota.admit(function, "a line")).count() as u64
    }

    #[test]
    fn a_flood_of_lines_leaves_space_for_other_functions() {
        let (quota, [first, second]) = (LogQuota::default(), [1, 2].map(FunctionId::from_u128));
        let (many, fewer) = (flood(&quota, first), flood(&quota, second));
        assert!(many > 2 * fewer - 10 && fewer > 10_000, "{many} and {fewer}");
        let line = LogLine {
            project: ProjectId::from_u128(1),
            function: first,
            run: None,
            at: Timestamp::default(),
            level: LogLevel::Info,
            stream: LogStream::Stdout,
            message: "a line".into(),
        };
        (0..many).for_each(|_| quota.dequeued([&line]));
        (0..fewer).for_each(|_| quota.give_back(second, "a line"));
        assert!(quota.waiting.lock().functions.is_empty());
        assert_eq!(flood(&quota, second), many, "all space was returned");
    }
}
