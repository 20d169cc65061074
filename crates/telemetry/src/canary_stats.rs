//! Counts how the calls of a canary version end, without a lock: every call passes here.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use faas_types::{CanaryCounts, Code};

/// Counts of one function's canary. Calls of other versions are not counted.
#[derive(Debug, Default)]
pub struct CanaryStats {
    /// The canary version; 0 while there is no canary.
    version: AtomicU32,
    slow_us: AtomicU64,
    calls: AtomicU64,
    failed: AtomicU64,
    slow: AtomicU64,
}

/// How a call ended, as far as the canary policy judges its version by it.
#[derive(Clone, Copy, Debug, Default)]
pub struct CanarySample {
    /// The version that took it.
    pub version: u32,
    /// The handler's time.
    pub handler: Duration,
    /// The status that the handler answered with.
    pub status: Option<u16>,
}

// === impl CanaryStats ===

impl CanaryStats {
    /// Counts a version from zero. Calls that end at the same moment may still count for the version before.
    pub fn begin(&self, version: u32, slow: Option<Duration>) {
        self.end();
        let micros = slow.map_or(u64::MAX, |slow| u64::try_from(slow.as_micros()).unwrap_or(u64::MAX));
        self.slow_us.store(micros, Ordering::Relaxed);
        for counter in [&self.calls, &self.failed, &self.slow] {
            counter.store(0, Ordering::Relaxed);
        }
        self.version.store(version, Ordering::Release);
    }

    /// Stops counting.
    pub fn end(&self) {
        self.version.store(0, Ordering::Release);
    }

    #[inline]
    pub(crate) fn count(&self, sample: CanarySample, code: Option<Code>) {
        if self.version.load(Ordering::Acquire) != sample.version {
            return;
        }
        let Some(failed) = has_failed(sample, code) else { return };
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(failed), Ordering::Relaxed);
        let micros = u64::try_from(sample.handler.as_micros()).unwrap_or(u64::MAX);
        let is_slow = micros > self.slow_us.load(Ordering::Relaxed);
        self.slow.fetch_add(u64::from(is_slow), Ordering::Relaxed);
    }

    /// The counts of this version; zero when it is not the one that is counted.
    pub fn counts(&self, version: u32) -> CanaryCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        if self.version.load(Ordering::Acquire) != version {
            return CanaryCounts::default();
        }
        // Read in the reverse order of writing, so that `failed` never exceeds `calls`.
        let (slow, failed) = (read(&self.slow), read(&self.failed));
        CanaryCounts { calls: read(&self.calls), failed, slow }
    }
}

/// Whether the version made the call fail. `None` for outcomes that do not depend on the version: a full or stopping node,
/// a caller that went away, a refused request.
fn has_failed(sample: CanarySample, code: Option<Code>) -> Option<bool> {
    match code {
        None => Some(sample.status.is_some_and(|status| status >= 500)),
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
    fn only_failures_of_the_version_are_counted() {
        let canary = CanaryStats::default();
        let sample = |version, millis, status| CanarySample { version, handler: Duration::from_millis(millis), status };
        canary.count(sample(0, 1, Some(200)), None);
        canary.begin(2, Some(Duration::from_millis(100)));
        canary.count(sample(1, 1, Some(500)), None);
        canary.count(sample(2, 100, Some(200)), None);
        canary.count(sample(2, 101, Some(404)), None);
        canary.count(sample(2, 1, Some(503)), None);
        canary.count(sample(2, 1, None), Some(Code::TimeoutExceeded));
        for code in [Code::Overloaded, Code::RateLimited, Code::Cancelled, Code::Unavailable, Code::PayloadTooLarge] {
            canary.count(sample(2, 1, None), Some(code));
        }
        assert_eq!(canary.counts(2), CanaryCounts { calls: 4, failed: 2, slow: 1 });
        assert_eq!(canary.counts(1), CanaryCounts::default());
        canary.begin(3, None);
        assert_eq!(canary.counts(3), CanaryCounts::default());
    }
}
