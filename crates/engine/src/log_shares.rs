//! What each function may have of the lines that wait to be stored.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use faas_types::{FunctionId, LogLine, limits};
use parking_lot::Mutex;

/// Bytes of lines that wait, each with its own cost.
const BYTES_MAX: u64 = 64 << 20;

/// The lines that wait to be stored. A function may have as many of them as there is room left, so that one which floods its
/// log loses its own lines and no other's.
#[derive(Debug, Default)]
pub(crate) struct LogShares {
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

// === impl LogShares ===

impl LogShares {
    /// Takes room for a line; whether there was some.
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

    /// Gives the room of a line back that was refused elsewhere.
    pub(crate) fn give_back(&self, function: FunctionId, message: &str) {
        self.waiting.lock().remove(function, cost(message));
    }

    /// Gives the room of lines back that have left the queue.
    pub(crate) fn left<'a>(&self, lines: impl IntoIterator<Item = &'a LogLine>) {
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

    fn flood(shares: &LogShares, function: FunctionId) -> u64 {
        (0..u64::MAX).take_while(|_| shares.admit(function, "a line")).count() as u64
    }

    #[test]
    fn a_flood_of_lines_leaves_room_for_those_of_others() {
        let (shares, [first, second]) = (LogShares::default(), [1, 2].map(FunctionId::from_u128));
        let (many, fewer) = (flood(&shares, first), flood(&shares, second));
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
        (0..many).for_each(|_| shares.left([&line]));
        (0..fewer).for_each(|_| shares.give_back(second, "a line"));
        assert!(shares.waiting.lock().functions.is_empty());
        assert_eq!(flood(&shares, second), many, "all of it is there again");
    }
}
