//! When a cron trigger fires: an expression read in a time zone.
//!
//! Five fields, or six with seconds in front, or a name such as `@daily`. The expression is read as wall-clock time of
//! its zone. An expression whose minute or hour begins with `*` is a wildcard; all others mean fixed times. Where the clock
//! jumps forward, a fixed time that it skips fires at the first instant after the gap and a wildcard goes on from there;
//! where it jumps back, a fixed time fires once, at its first occurrence, and a wildcard fires in both hours.

use std::fmt;
use std::str::FromStr;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Timestamp;
use crate::cron_clock::{next_of_fixed, next_of_wildcard};
use crate::cron_fields::CronFields;

/// Bytes of an expression.
const EXPRESSION_MAX: usize = 256;

/// A cron expression in a time zone, checked to fire at least once more.
#[derive(Clone, Serialize, utoipa::ToSchema)]
pub struct CronSchedule {
    /// As it was written.
    expression: String,
    /// The zone's IANA name.
    timezone: String,
    #[serde(skip)]
    cron: Cron,
    #[serde(skip)]
    is_wildcard: bool,
    #[serde(skip)]
    zone: TimeZone,
}

/// Why a schedule cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCron {
    /// The expression.
    #[error("`{text}` is not a cron expression: {why}")]
    Expression {
        /// As it was written, shortened.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// The expression names no date that exists.
    #[error("`{0}` never fires: no such date exists; check day and month")]
    Never(String),
    /// The time zone.
    #[error("`{0}` is not a time zone; use an IANA name such as UTC or Europe/Berlin")]
    Zone(String),
}

// === impl CronSchedule ===

impl CronSchedule {
    /// Reads an expression and the IANA name of a time zone.
    ///
    /// # Errors
    /// Either is malformed, or the expression never fires.
    pub fn new(expression: &str, timezone: &str) -> Result<Self, InvalidCron> {
        let schedule = Self::build(expression, timezone, CronFields::check)?;
        // Any date that a calendar ever shows comes within 28 years, and within 40 across a skipped leap year.
        match schedule.after(Timestamp::default()) {
            Some(_) => Ok(schedule),
            None => Err(InvalidCron::Never(schedule.expression)),
        }
    }

    fn build(
        expression: &str,
        timezone: &str,
        check: impl FnOnce(&CronFields) -> Result<(), String>,
    ) -> Result<Self, InvalidCron> {
        let zone = zone(timezone)?;
        let expression = expression.trim();
        let wrong = |why: String| InvalidCron::Expression { text: expression.chars().take(64).collect(), why };
        if expression.len() > EXPRESSION_MAX {
            return Err(wrong(format!("it is longer than {EXPRESSION_MAX} bytes")));
        }
        let fields = CronFields::split(expression).map_err(wrong)?;
        check(&fields).map_err(wrong)?;
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .dom_and_dow(fields.wants_both_days)
            .build();
        // The library's own words speak of its parts; what passes the check above and not the library is rare.
        let cron = parser.parse(&fields.text).map_err(|_| wrong("a field is not understood".to_owned()))?;
        let is_wildcard = fields.is_wildcard;
        Ok(Self { expression: expression.to_owned(), timezone: timezone.to_owned(), cron, is_wildcard, zone })
    }

    /// The expression as it was written.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The IANA name of the zone that it is read in.
    #[must_use]
    pub fn timezone(&self) -> &str {
        &self.timezone
    }

    /// The first time it fires after `time`; `None` at the end of the calendar.
    #[must_use]
    pub fn after(&self, time: Timestamp) -> Option<Timestamp> {
        let from = jiff::Timestamp::from_millisecond(i64::try_from(time.as_millis()).ok()?).ok()?;
        let next = if self.is_wildcard { next_of_wildcard } else { next_of_fixed };
        let tick = next(&self.cron, &self.zone, from)?;
        let tick = Timestamp::from_millis(u64::try_from(tick.as_millisecond()).ok()?);
        // A tick that is not later would make every caller loop for ever.
        (tick > time).then_some(tick)
    }

    /// A tick as a clock in the zone shows it: `2026-11-30 02:30 Europe/Berlin`.
    #[must_use]
    pub fn local(&self, tick: Timestamp) -> String {
        let millis = i64::try_from(tick.as_millis()).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        let civil = self.zone.to_datetime(at);
        let form = if civil.second() == 0 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S" };
        format!("{} {}", civil.strftime(form), self.timezone)
    }

    /// The times it fires after `time`, in order.
    pub fn ticks(&self, time: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.after(time), |tick| self.after(*tick))
    }
}

impl fmt::Debug for CronSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CronSchedule({:?} in {})", self.expression, self.timezone)
    }
}

impl PartialEq for CronSchedule {
    fn eq(&self, other: &Self) -> bool {
        (&self.expression, &self.timezone) == (&other.expression, &other.timezone)
    }
}

impl Eq for CronSchedule {}

impl<'de> Deserialize<'de> for CronSchedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            expression: String,
            timezone: String,
        }
        let Written { expression, timezone } = Written::deserialize(deserializer)?;
        // What was stored stays readable, also where the checks have become stricter since.
        Self::build(&expression, &timezone, |_| Ok(())).map_err(serde::de::Error::custom)
    }
}

impl FromStr for CronSchedule {
    type Err = InvalidCron;

    /// An expression in UTC.
    fn from_str(text: &str) -> Result<Self, InvalidCron> {
        Self::new(text, "UTC")
    }
}

fn zone(name: &str) -> Result<TimeZone, InvalidCron> {
    let unknown = || InvalidCron::Zone(name.chars().take(64).collect());
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte));
    if name.is_empty() || name.len() > 64 || !plain {
        return Err(unknown());
    }
    TimeZone::get(name).map_err(|_| unknown())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let schedule = CronSchedule::new(expression, zone).unwrap_or_else(|error| panic!("{error}"));
        let from = from.parse().unwrap_or_else(|error| panic!("{error}"));
        schedule.ticks(from).take(count).map(|tick| tick.to_string().replace(".000", "")).collect()
    }

    #[test]
    fn five_fields_six_fields_and_names() {
        let from = "2026-11-21T08:00:00Z";
        assert_eq!(times("*/15 * * * *", "UTC", from, 2), ["2026-11-21T08:15:00Z", "2026-11-21T08:30:00Z"]);
        assert_eq!(times("*/20 * * * * *", "UTC", from, 2), ["2026-11-21T08:00:20Z", "2026-11-21T08:00:40Z"]);
        assert_eq!(times("@daily", "UTC", from, 1), ["2026-11-22T00:00:00Z"]);
        assert_eq!(times("0 9 * * MON-FRI", "Europe/Berlin", from, 1), ["2026-11-23T08:00:00Z"]);
    }

    #[test]
    fn a_time_that_the_clock_leaves_out_fires_after_the_gap() {
        // Berlin goes from 02:00 to 03:00 on 2026-03-29, which is 01:00 UTC.
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
    }

    #[test]
    fn a_time_that_the_clock_repeats_fires_once_and_an_interval_in_both_hours() {
        // Berlin goes from 03:00 back to 02:00 on 2026-10-25, which is 01:00 UTC.
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        assert_eq!(
            times("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 4),
            ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"]
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for bad in ["", "* * * *", "61 * * * *", "* * * * * * *", "@reboot", "every day", "* * * * */0"] {
            assert!(matches!(bad.parse::<CronSchedule>(), Err(InvalidCron::Expression { .. })), "{bad}");
        }
        assert_eq!("0 0 30 2 *".parse::<CronSchedule>(), Err(InvalidCron::Never("0 0 30 2 *".to_owned())));
        for bad in ["", "Mars/Olympus", "../../etc/localtime", "Europe/Berlin\0"] {
            assert_eq!(CronSchedule::new("@daily", bad), Err(InvalidCron::Zone(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn a_tick_is_shown_in_its_own_zone() -> anyhow::Result<()> {
        let berlin = CronSchedule::new("30 2 * * *", "Europe/Berlin")?;
        assert_eq!(
            berlin.local("2026-11-30T01:30:00Z".parse().map_err(anyhow::Error::msg)?),
            "2026-11-30 02:30 Europe/Berlin"
        );
        let seconds: CronSchedule = "*/20 * * * * *".parse()?;
        assert_eq!(
            seconds.local("2026-11-30T01:30:20Z".parse().map_err(anyhow::Error::msg)?),
            "2026-11-30 01:30:20 UTC"
        );
        Ok(())
    }

    #[test]
    fn what_is_stored_is_read_though_the_checks_are_stricter_now() -> anyhow::Result<()> {
        let stored = r#"{"expression":"*/90 * * * *","timezone":"UTC"}"#;
        assert_eq!(serde_json::from_str::<CronSchedule>(stored)?.expression(), "*/90 * * * *");
        assert!("*/90 * * * *".parse::<CronSchedule>().is_err());
        Ok(())
    }

    #[test]
    fn a_schedule_survives_its_text() -> anyhow::Result<()> {
        let schedule = CronSchedule::new("0 9 29 2 *", "America/New_York")?;
        let text = serde_json::to_string(&schedule)?;
        assert_eq!(serde_json::from_str::<CronSchedule>(&text)?, schedule);
        Ok(())
    }
}
