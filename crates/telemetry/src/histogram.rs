//! A histogram with fixed bounds that many threads record into without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts values by the bounds that they do not exceed.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for values above all of them.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// The bounds in rising order, each with the number of values that do not exceed it.
    pub buckets: Vec<(u64, u64)>,
    /// The number of values.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
}

// === impl Histogram ===

impl Histogram {
    pub(crate) fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    pub(crate) fn record(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> HistogramSnapshot {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(self.bounds.len());
        for (bound, here) in self.bounds.iter().zip(&self.counts) {
            count += here.load(Ordering::Relaxed);
            buckets.push((*bound, count));
        }
        count += self.counts[self.bounds.len()].load(Ordering::Relaxed);
        HistogramSnapshot { buckets, count, sum: self.sum.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_each_bucket_that_holds_it() {
        let histogram = Histogram::new(&[10, 100]);
        [0, 10, 11, 100, 101].into_iter().for_each(|value| histogram.record(value));
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot, HistogramSnapshot { buckets: vec![(10, 2), (100, 4)], count: 5, sum: 222 });
    }
}
