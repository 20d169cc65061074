//! The log of an instance outside of runs.

use std::time::Duration;

use faas_ports::{InstanceLogs, LogEntry, UnfinishedLines};
use faas_types::limits::LOG_BYTES_PER_RUN;
use faas_types::{ByteSize, Code, LogLevel, LogStream, Timestamp};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Entries that may wait for the engine; more are dropped.
const CAPACITY: usize = 256;
/// Bytes a second that an instance may write when it has used up what it may at first.
const RATE: u64 = 16 << 10;

/// How often it is said at most that lines were dropped.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// The log of an instance outside of runs: as much as a run may write, then little by little. More is counted and dropped,
/// and the log says so.
pub(crate) struct IdleLog {
    entries: mpsc::Sender<LogEntry>,
    budget: Budget,
    unfinished: UnfinishedLines,
    dropped: u64,
    /// When it was last said that lines were dropped.
    told: Instant,
}

/// Bytes that may be written, as a token bucket.
struct Budget {
    left: u64,
    filled: Instant,
}

// === impl IdleLog ===

impl IdleLog {
    /// Also gives the end that the engine reads.
    pub(crate) fn new() -> (Self, InstanceLogs) {
        let (entries, receiver) = mpsc::channel(CAPACITY);
        let now = Instant::now();
        let budget = Budget { left: LOG_BYTES_PER_RUN, filled: now };
        (Self { entries, budget, unfinished: UnfinishedLines::default(), dropped: 0, told: now }, receiver)
    }

    /// Whether a line, or a part of one, that takes so much room is kept.
    pub(crate) fn admits(&mut self, room: u64) -> bool {
        let admitted = self.budget.take(room);
        if !admitted {
            self.dropped = self.dropped.saturating_add(1);
        }
        admitted
    }

    /// Keeps a part of a line that was admitted, until the rest comes.
    pub(crate) fn begin(&mut self, part: LogEntry) {
        self.unfinished.extend(part);
    }

    /// Keeps a line that was admitted.
    pub(crate) fn keep(&mut self, entry: LogEntry) {
        let at = entry.at;
        let entry = self.unfinished.complete(entry);
        self.send(entry);
        if self.dropped > 0 && self.told.elapsed() >= TOLD_EVERY {
            self.told = Instant::now();
            self.tell(at);
        }
    }

    /// Nothing more comes, so that unfinished lines are whole ones.
    pub(crate) fn end(&mut self, now: Timestamp) {
        for line in self.unfinished.take() {
            self.send(line);
        }
        if self.dropped > 0 {
            self.tell(now);
        }
    }

    fn send(&mut self, entry: LogEntry) {
        if self.entries.try_send(entry).is_err() {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Says in the log itself that lines are missing, where there is room for that.
    fn tell(&mut self, at: Timestamp) {
        let (code, most, lines) = (Code::LogLimit, ByteSize::from_bytes(LOG_BYTES_PER_RUN), self.dropped);
        let message = format!("{code} more than {most} of log was written outside of runs: {lines} lines were cut");
        let entry = LogEntry { at, level: LogLevel::Warn, stream: LogStream::Platform, message };
        if self.entries.try_send(entry).is_ok() {
            self.dropped = 0;
        }
    }
}

// === impl Budget ===

impl Budget {
    fn take(&mut self, price: u64) -> bool {
        if self.left < price {
            self.refill();
        }
        let Some(left) = self.left.checked_sub(price) else { return false };
        self.left = left;
        true
    }

    fn refill(&mut self) {
        let now = Instant::now();
        let millis = u64::try_from((now - self.filled).as_millis()).unwrap_or(u64::MAX);
        let earned = millis.saturating_mul(RATE) / 1_000;
        // Time that has earned nothing yet goes on counting.
        if earned > 0 {
            self.filled = now;
            self.left = self.left.saturating_add(earned).min(LOG_BYTES_PER_RUN);
        }
    }
}

#[cfg(test)]
mod tests {
    use faas_types::limits::LOG_LINE_COST;

    use super::*;

    fn entry(message: &str) -> LogEntry {
        let (at, level) = (Timestamp::default(), LogLevel::Info);
        LogEntry { at, level, stream: LogStream::Stdout, message: message.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn lines_are_kept_at_a_bounded_rate() {
        let (mut log, _entries) = IdleLog::new();
        let kept = |log: &mut IdleLog| (0..200_000).filter(|_| log.admits(LOG_LINE_COST)).count() as u64;
        assert_eq!(kept(&mut log), LOG_BYTES_PER_RUN / LOG_LINE_COST);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(kept(&mut log), 10 * RATE / LOG_LINE_COST);
        assert_eq!(log.dropped, 400_000 - (LOG_BYTES_PER_RUN + 10 * RATE) / LOG_LINE_COST);
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_says_how_many_lines_are_missing() {
        let (mut log, mut entries) = IdleLog::new();
        (0..20_000).for_each(|_| _ = log.admits(LOG_LINE_COST));
        log.keep(entry("soon after"));
        tokio::time::sleep(TOLD_EVERY).await;
        log.keep(entry("much later"));
        let told: Vec<String> = std::iter::from_fn(|| entries.try_recv().ok()).map(|entry| entry.message).collect();
        assert_eq!(told.len(), 3, "it is not said each time: {told:?}");
        assert!(told[2].starts_with("FN_027 ") && told[2].ends_with(": 3616 lines were cut"), "{told:?}");
        log.end(Timestamp::default());
        assert!(entries.try_recv().is_err(), "nothing was cut since");
    }
}
