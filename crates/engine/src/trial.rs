//! How the calls of a version under trial end, counted without a lock on the way of every call.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use faas_types::{Code, Tally};

/// The figures of one function's trial. Those of another version are not counted.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    /// The version; 0 while there is no trial.
    version: AtomicU32,
    slow_us: AtomicU64,
    calls: AtomicU64,
    failed: AtomicU64,
    slow: AtomicU64,
}

/// How a call ended, as far as its version is judged by it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trace {
    /// The version that took it.
    pub(crate) version: u32,
    /// The handler's own time.
    pub(crate) handler: Duration,
    /// The status that the handler answered with.
    pub(crate) status: Option<u16>,
}

// === impl Trial ===

impl Trial {
    /// Counts from nothing. Calls that end at this very moment may be counted on either side.
    pub(crate) fn begin(&self, version: u32, slow: Option<Duration>) {
        self.end();
        let micros = slow.map_or(u64::MAX, |slow| u64::try_from(slow.as_micros()).unwrap_or(u64::MAX));
        self.slow_us.store(micros, Ordering::Relaxed);
        for counter in [&self.calls, &self.failed, &self.slow] {
            counter.store(0, Ordering::Relaxed);
        }
        self.version.store(version, Ordering::Release);
    }

    pub(crate) fn end(&self) {
        self.version.store(0, Ordering::Release);
    }

    pub(crate) fn count(&self, trace: Trace, code: Option<Code>) {
        if self.version.load(Ordering::Acquire) != trace.version {
            return;
        }
        let Some(failed) = has_failed(trace, code) else { return };
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(failed), Ordering::Relaxed);
        let micros = u64::try_from(trace.handler.as_micros()).unwrap_or(u64::MAX);
        let is_slow = micros > self.slow_us.load(Ordering::Relaxed);
        self.slow.fetch_add(u64::from(is_slow), Ordering::Relaxed);
    }

    /// The figures of this version; nothing when another one is counted.
    pub(crate) fn tally(&self, version: u32) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        if self.version.load(Ordering::Acquire) != version {
            return Tally::default();
        }
        // Read in the order opposite to their writing, so that never more failed than there were.
        let (slow, failed) = (read(&self.slow), read(&self.failed));
        Tally { calls: read(&self.calls), failed, slow }
    }
}

/// Whether a call failed by its version's doing. `None` for what says nothing of the version: a full or stopping node, a
/// caller that went away, a request that was refused.
fn has_failed(trace: Trace, code: Option<Code>) -> Option<bool> {
    match code {
        None => Some(trace.status.is_some_and(|status| status >= 500)),
        Some(
            Code::RuntimeError
            | Code::TimeoutExceeded
            | Code::MemoryExceeded
            | Code::ColdStartTimeout
            | Code::ProcessLimit
            | Code::TmpFull,
        ) => Some(true),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_version_did_is_counted() {
        let trial = Trial::default();
        let trace = |version, millis, status| Trace { version, handler: Duration::from_millis(millis), status };
        trial.count(trace(0, 1, Some(200)), None);
        trial.begin(2, Some(Duration::from_millis(100)));
        trial.count(trace(1, 1, Some(500)), None);
        trial.count(trace(2, 100, Some(200)), None);
        trial.count(trace(2, 101, Some(404)), None);
        trial.count(trace(2, 1, Some(503)), None);
        trial.count(trace(2, 1, None), Some(Code::TimeoutExceeded));
        for code in [Code::Overloaded, Code::RateLimited, Code::Cancelled, Code::Unavailable, Code::PayloadTooLarge] {
            trial.count(trace(2, 1, None), Some(code));
        }
        assert_eq!(trial.tally(2), Tally { calls: 4, failed: 2, slow: 1 });
        assert_eq!(trial.tally(1), Tally::default());
        trial.begin(3, None);
        assert_eq!(trial.tally(3), Tally::default());
    }
}
