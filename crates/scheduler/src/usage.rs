//! Attributes what an instance uses to its calls, with few enough readings that short calls pay nothing for it.

use std::time::{Duration, Instant};

use faas_ports::{Instance, InstanceUsage};
use parking_lot::Mutex;

/// A call that took this long is worth the two system calls of an exact reading.
const LONG: Duration = Duration::from_millis(2);
/// Shorter calls share a reading of at most this age.
const FRESH: Duration = Duration::from_millis(20);

/// Attributes what an instance uses to its calls.
#[derive(Default)]
pub(crate) struct UsageTracker(Mutex<Reading>);

#[derive(Default)]
struct Reading {
    at: Option<Instant>,
    cpu_us: u64,
    peak_memory_bytes: Option<u64>,
    /// Short calls since the last reading, and the time of their handlers, an upper bound of what they used.
    unread_calls: u64,
    unread_time: Duration,
}

// === impl UsageTracker ===

impl UsageTracker {
    /// What a call that ends now has used. Exact for a long call. Of short calls, one every some milliseconds gets its share
    /// of the CPU time since the last reading; the others get no CPU time and the peak memory of the last reading.
    pub(crate) fn of_call(&self, instance: &dyn Instance, took: Duration, now: Instant) -> InstanceUsage {
        let mut reading = self.0.lock();
        let is_fresh = reading.at.is_some_and(|at| now.duration_since(at) < FRESH);
        if took < LONG && is_fresh {
            reading.unread_calls += 1;
            reading.unread_time += took;
            return InstanceUsage { peak_memory_bytes: reading.peak_memory_bytes, cpu_us: None };
        }
        let usage = instance.usage();
        let cpu_us = usage.cpu_us.map(|total| reading.attribute(total, took));
        reading.at = Some(now);
        reading.peak_memory_bytes = usage.peak_memory_bytes;
        InstanceUsage { cpu_us, ..usage }
    }
}

// === impl Reading ===

impl Reading {
    fn attribute(&mut self, total: u64, took: Duration) -> u64 {
        let used = total.saturating_sub(std::mem::replace(&mut self.cpu_us, total));
        let (calls, time) = (std::mem::take(&mut self.unread_calls), std::mem::take(&mut self.unread_time));
        match took < LONG {
            true => used / (calls + 1),
            false => used.saturating_sub(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_calls_share_a_reading_and_long_ones_do_not() {
        let short = Duration::from_micros(300);
        let mut reading = Reading { unread_calls: 9, unread_time: 9 * short, ..Reading::default() };
        assert_eq!(reading.attribute(1_000, short), 100);
        (reading.unread_calls, reading.unread_time) = (3, 3 * short);
        assert_eq!(reading.attribute(6_000, Duration::from_millis(8)), 5_000 - 900);
        assert_eq!(reading.attribute(6_500, Duration::from_millis(8)), 500);
    }
}
