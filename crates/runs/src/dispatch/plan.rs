//! How much of a function's queue a server takes at a time. Pure.

/// Runs that one lease takes from a function.
pub(crate) const BATCH: u32 = 256;
/// Runs that are tried at once before anything is known of the function.
const FIRST: u32 = 4;
/// The most runs that are tried at once.
const PLACES_MAX: u32 = 1_000;

/// A function as its server sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct QueueLoad {
    /// The most calls that its instances take at once; `None` before the first run.
    pub capacity: Option<u32>,
    /// Runs that are being tried.
    pub active: u32,
    /// Runs that are leased and wait here for a place.
    pub buffered: u32,
    /// Runs that ended lately, each second.
    pub rate: f64,
}

/// How many runs are tried at once. One place in ten, and at least one where there are two, is left to callers that
/// wait, so that a long queue never keeps them waiting for longer than one call takes.
pub(crate) fn places(load: QueueLoad) -> u32 {
    let Some(capacity) = load.capacity else { return FIRST };
    let spared = if capacity > 1 { (capacity / 10).max(1) } else { 0 };
    (capacity - spared).clamp(1, PLACES_MAX)
}

/// How many more runs to lease now: those that have a place, and as many as will end while the next lease commits.
pub(crate) fn wanted(load: QueueLoad) -> u32 {
    // A commit takes some milliseconds; a run that waits here instead of in the queue is no worse off for so long.
    const AHEAD_SECONDS: f64 = 0.04;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a small range first")]
    let ahead = (load.rate * AHEAD_SECONDS).clamp(0.0, f64::from(BATCH)) as u32;
    (places(load) + ahead).saturating_sub(load.active + load.buffered).min(BATCH)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn callers_that_wait_are_left_a_place(capacity in 2_u32..100_000) {
            let load = QueueLoad { capacity: Some(capacity), ..QueueLoad::default() };
            prop_assert!(places(load) < capacity);
        }

        #[test]
        fn something_is_always_tried_and_leases_are_bounded(
            capacity in prop::option::of(0_u32..5_000), active in 0_u32..3_000, buffered in 0_u32..600, rate in 0.0..1e6,
        ) {
            let load = QueueLoad { capacity, active, buffered, rate };
            prop_assert!(places(load) >= 1);
            prop_assert!(wanted(load) <= BATCH);
            prop_assert!(active + buffered > 0 || wanted(load) >= 1);
            prop_assert!(active + buffered + wanted(load) <= (places(load) + BATCH).max(active + buffered));
        }
    }
}
