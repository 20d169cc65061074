//! Which ticks of a cron schedule become runs. Pure: a function of what was decided before, and of now.
//!
//! Every tick is decided once. The mark [`DueTicks::decided`] only moves forward and is committed together with the runs
//! that it stands for, so that neither a restart nor a clock that jumps back makes a tick fire again. A clock that jumps
//! forward passes over ticks as a server that was down does: they are missed, and [`MissedTicks`] says what becomes of them.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{CronSchedule, Timestamp, limits};

/// How late a tick may be taken and still be on time.
const ON_TIME: Duration = Duration::from_secs(30);
/// Ticks looked at in one decision. More lie between only after a long pause of a schedule that fires often.
const SCAN_MAX: usize = 10_000;

/// What becomes of ticks that passed while nobody looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MissedTicks {
    /// They are passed over.
    Skip,
    /// The latest stands for all of them.
    #[default]
    Once,
    /// The latest ones run, each for itself, up to this many.
    All(u32),
}

/// What becomes of a tick while a run of the same trigger is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// It runs beside the other.
    #[default]
    Allow,
    /// It is passed over.
    Skip,
    /// It waits for the other.
    Queue,
}

/// How a cron trigger treats ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CronPolicy {
    /// What becomes of ticks that passed while nobody looked.
    pub missed: MissedTicks,
    /// What becomes of a tick while a run of the same trigger is under way.
    pub overlap: Overlap,
    /// The longest delay that is put before a run, so that schedules of many do not all strike at once.
    pub jitter: Duration,
}

/// What to do about a schedule now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueTicks {
    /// Ticks to run, earliest first.
    pub ticks: Vec<Timestamp>,
    /// Ticks passed over; at least so many when they are very many.
    pub skipped: usize,
    /// Every tick up to here is decided.
    pub decided: Timestamp,
    /// When to look again; `None` when the schedule never fires again.
    pub next: Option<Timestamp>,
}

// === impl MissedTicks ===

impl MissedTicks {
    /// How many missed ticks become runs at the most.
    #[must_use]
    pub fn most(self) -> u32 {
        match self {
            Self::Skip => 0,
            Self::Once => 1,
            Self::All(most) => most.min(limits::CRON_CATCH_UP_MAX),
        }
    }
}

// === impl CronSchedule ===

impl CronSchedule {
    /// Decides about the ticks after `decided` up to `now`.
    #[must_use]
    pub fn due(&self, missed: MissedTicks, decided: Timestamp, now: Timestamp) -> DueTicks {
        let (mut recent, mut count) = self.recent(decided, now, SCAN_MAX);
        if count == SCAN_MAX && self.after(decided.max(*recent.back().unwrap_or(&now))).is_some_and(|tick| tick <= now)
        {
            recent = self.latest(decided, now);
            count = SCAN_MAX.max(recent.len());
        }
        let on_time = recent.iter().filter(|tick| now.since(**tick) <= ON_TIME).count();
        let wanted = on_time.max(missed.most() as usize);
        let ticks: Vec<Timestamp> = recent.iter().skip(recent.len().saturating_sub(wanted)).copied().collect();
        let decided = decided.max(now);
        DueTicks { skipped: count - ticks.len(), ticks, decided, next: self.after(decided) }
    }

    /// The last ticks after `from` up to `now`, of at most `scan` that are looked at, and how many there were.
    fn recent(&self, from: Timestamp, now: Timestamp, scan: usize) -> (VecDeque<Timestamp>, usize) {
        let keep = limits::CRON_CATCH_UP_MAX as usize;
        let mut recent = VecDeque::with_capacity(keep);
        let mut count = 0;
        for tick in self.ticks(from).take_while(|tick| *tick <= now).take(scan) {
            if recent.len() == keep {
                recent.pop_front();
            }
            recent.push_back(tick);
            count += 1;
        }
        (recent, count)
    }

    /// The last ticks up to `now` of a schedule that has more than can be counted since `decided`: from further and
    /// further back until there are enough.
    fn latest(&self, decided: Timestamp, now: Timestamp) -> VecDeque<Timestamp> {
        let keep = limits::CRON_CATCH_UP_MAX as usize;
        let mut window = keep as u64 * 1000;
        loop {
            let from = Timestamp::from_millis(now.as_millis().saturating_sub(window)).max(decided);
            let (recent, _) = self.recent(from, now, SCAN_MAX);
            if recent.len() == keep || from == decided {
                return recent;
            }
            window *= 2;
        }
    }
}

// === impl CronPolicy ===

impl CronPolicy {
    /// The delay before the run of a tick: the same whenever it is asked for, below [`jitter`](Self::jitter), and spread
    /// evenly over triggers and ticks.
    #[must_use]
    pub fn delay(&self, seed: u128, tick: Timestamp) -> Duration {
        let span = u64::try_from(self.jitter.as_millis()).unwrap_or(u64::MAX);
        if span == 0 {
            return Duration::ZERO;
        }
        let folded = (seed as u64) ^ ((seed >> 64) as u64) ^ tick.as_millis();
        Duration::from_millis(mixed(folded) % span)
    }
}

/// The finaliser of SplitMix64: neighbouring numbers give unrelated ones.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minutely() -> CronSchedule {
        "* * * * *".parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn minute(number: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + number * 60_000)
    }

    #[test]
    fn a_tick_on_time_runs_whatever_the_policy() {
        for missed in [MissedTicks::Skip, MissedTicks::Once, MissedTicks::All(3)] {
            let due = minutely().due(missed, minute(0), minute(1).plus(Duration::from_millis(40)));
            assert_eq!((due.ticks, due.skipped, due.next), (vec![minute(1)], 0, Some(minute(2))));
        }
    }

    #[test]
    fn missed_ticks_are_what_the_policy_says() {
        // Ten ticks passed, none of them within the last half minute.
        let now = minute(10).plus(Duration::from_secs(45));
        let due = |missed| minutely().due(missed, minute(0), now);
        assert_eq!((due(MissedTicks::Skip).ticks, due(MissedTicks::Skip).skipped), (vec![], 10));
        assert_eq!((due(MissedTicks::Once).ticks, due(MissedTicks::Once).skipped), (vec![minute(10)], 9));
        assert_eq!(due(MissedTicks::All(3)).ticks, [minute(8), minute(9), minute(10)]);
        assert_eq!(due(MissedTicks::All(50)).ticks.len(), 10);
    }

    #[test]
    fn a_clock_that_jumps_back_fires_nothing_again() {
        let first = minutely().due(MissedTicks::All(100), minute(0), minute(60));
        for back in [1, 30, 59] {
            let again = minutely().due(MissedTicks::All(100), first.decided, minute(60 - back));
            assert_eq!((again.ticks, again.decided), (vec![], minute(60)));
            assert_eq!(again.next, Some(minute(61)));
        }
    }

    #[test]
    fn years_of_seconds_cost_no_more_than_a_moment() -> anyhow::Result<()> {
        let secondly: CronSchedule = "* * * * * *".parse()?;
        let due = secondly.due(MissedTicks::All(100), Timestamp::from_millis(0), minute(0));
        assert_eq!((due.ticks.len(), due.ticks.last()), (100, Some(&minute(0))));
        let rare: CronSchedule = "* * 3 1 1 *".parse()?;
        let due = rare.due(MissedTicks::All(2), Timestamp::from_millis(0), minute(0));
        assert_eq!(due.ticks.len(), 2);
        assert_eq!(rare.after(due.ticks[1]).filter(|tick| *tick <= minute(0)), None);
        Ok(())
    }

    #[test]
    fn jitter_is_steady_and_spread() {
        let policy = CronPolicy { jitter: Duration::from_secs(60), ..CronPolicy::default() };
        let delays: Vec<_> = (0..1000).map(|seed| policy.delay(seed, minute(3))).collect();
        assert!(delays.iter().all(|delay| *delay < policy.jitter));
        assert_eq!(delays[7], policy.delay(7, minute(3)));
        let early = delays.iter().filter(|delay| delay.as_secs() < 30).count();
        assert!((400..600).contains(&early), "{early} of 1000 in the first half");
    }

    proptest! {
        /// However often and whenever somebody looks, with whatever jumps of the clock: no tick twice, none out of order.
        #[test]
        fn each_tick_is_decided_once(looks in prop::collection::vec(0..2_000_000_u64, 1..40), most in 0..5_u32) {
            let schedule = minutely();
            let mut decided = minute(0);
            let mut fired = Vec::new();
            for look in looks {
                let due = schedule.due(MissedTicks::All(most), decided, minute(0).plus(Duration::from_millis(look)));
                prop_assert!(due.decided >= decided);
                fired.extend(due.ticks);
                decided = due.decided;
            }
            prop_assert!(fired.is_sorted_by(|a, b| a < b));
        }
    }
}
