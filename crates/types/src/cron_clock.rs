//! Ticks of a cron expression on a clock that is put forward and back.
//!
//! The expression is evaluated on the calendar alone. What a matching wall-clock time means as an instant follows the rule
//! of Vixie's cron: a wildcard fires at each instant whose wall-clock time matches, and a fixed time fires once: at its
//! first occurrence where the clock shows it twice, and at the first instant after the gap where the clock skips it.

use croner::Cron;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// More than the distance of any zone's clock from UTC.
const FARTHEST_FROM_UTC: SignedDuration = SignedDuration::from_hours(26);

/// The first tick of a wildcard after `after`.
///
/// Each stretch of time in which the zone's clock runs steadily is searched for itself.
pub(crate) fn next_of_wildcard(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let (mut from, mut inclusive) = (after, false);
    loop {
        let offset = zone.to_offset(from);
        let shown = offset.to_datetime(from);
        let matching = next_civil(cron, shown, inclusive)?;
        let tick = offset.to_timestamp(matching).ok()?;
        let change = zone.following(from).map(|change| change.timestamp()).find(|at| zone.to_offset(*at) != offset);
        match change {
            Some(change) if change <= tick => {
                // Nothing between `shown` and `matching` matches, so years without a match need not be searched one by
                // one; but a clock that is put back shows times from before `shown` again.
                let near = TimeZone::UTC.to_timestamp(matching).ok()?.checked_sub(FARTHEST_FROM_UTC).ok()?;
                let goes_back = zone.to_datetime(change) <= shown;
                (from, inclusive) = (if goes_back { change } else { change.max(near) }, true);
            }
            _ => return Some(tick),
        }
    }
}

/// The first tick of fixed times after `after`.
pub(crate) fn next_of_fixed(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let mut civil = zone.to_datetime(after);
    loop {
        civil = next_civil(cron, civil, false)?;
        // Within an hour that the clock shows for the second time, matching times have fired already.
        if let Some(tick) = first_instant(zone, civil).filter(|tick| *tick > after) {
            return Some(tick);
        }
    }
}

/// The instant at which a wall-clock time is first reached or passed.
fn first_instant(zone: &TimeZone, civil: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok(),
        AmbiguousOffset::Gap { before, .. } => {
            let passed = before.to_timestamp(civil).ok()?.checked_add(SignedDuration::from_nanos(1)).ok()?;
            zone.preceding(passed).next().map(|change| change.timestamp())
        }
    }
}

/// The next matching wall-clock time of a calendar without changes of the clock.
fn next_civil(cron: &Cron, from: DateTime, inclusive: bool) -> Option<DateTime> {
    let from = from.to_zoned(TimeZone::UTC).ok()?;
    cron.find_next_occurrence(&from, inclusive).ok().map(|found| found.datetime())
}

#[cfg(test)]
mod tests;
