//! Daylight saving time: a table of known days, and any expression against a walk minute by minute.

use std::collections::{BTreeSet, HashSet};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp as Instant, ToSpan};
use proptest::prelude::*;

use crate::{CronSchedule, Timestamp};

/// Every tick of the two days from `from` on, as `HH:MM` of UTC.
fn ticks(expression: &str, zone: &str, from: &str) -> Vec<String> {
    let schedule = CronSchedule::new(expression, zone).unwrap_or_else(|error| panic!("{error}"));
    let from: Timestamp = from.parse().unwrap_or_else(|error| panic!("{error}"));
    let end = Timestamp::from_millis(from.as_millis() + 48 * 3_600_000);
    let ticks = schedule.ticks(from).take_while(|tick| *tick < end);
    ticks.map(|tick| tick.to_string()[11..16].to_owned()).collect()
}

#[test]
fn a_fixed_time_that_the_clock_repeats_fires_once_in_every_form() {
    // New York goes from 02:00 back to 01:00 on 2027-11-07, which is 06:00 UTC.
    let day = "2027-11-07T04:00:00Z";
    for (expression, expected) in [
        ("30 1 7 11 *", vec!["05:30"]),
        ("30 1,13 7 11 *", vec!["05:30", "18:30"]),
        ("0,30 1 7 11 *", vec!["05:00", "05:30"]),
        ("0-30/15 1-1 7 11 *", vec!["05:00", "05:15", "05:30"]),
        ("30 1-3 7 11 *", vec!["05:30", "07:30", "08:30"]),
        ("0 30 1,13 7 11 *", vec!["05:30", "18:30"]),
        ("*/30 1 7 11 *", vec!["05:00", "05:30", "06:00", "06:30"]),
    ] {
        assert_eq!(ticks(expression, "America/New_York", day), expected, "{expression}");
    }
    for (expression, expected) in [
        ("30 * 7 11 *", ["04:30", "05:30", "06:30", "07:30"]),
        ("30 */1 7 11 *", ["04:30", "05:30", "06:30", "07:30"]),
        ("*/30 1-2 7 11 *", ["05:00", "05:30", "06:00", "06:30"]),
    ] {
        assert_eq!(ticks(expression, "America/New_York", day)[..4], expected, "{expression}");
    }
}

#[test]
fn a_fixed_time_that_the_clock_skips_fires_after_the_gap_in_every_form() {
    // New York goes from 02:00 to 03:00 on 2027-03-14, which is 07:00 UTC.
    for (expression, expected) in [
        ("30 2 14 3 *", vec!["07:00"]),
        ("30 2,14 14 3 *", vec!["07:00", "18:30"]),
        ("0,30 2 14 3 *", vec!["07:00"]),
        ("30,45 2 14 3 *", vec!["07:00"]),
        ("0-59 2 14 3 *", vec!["07:00"]),
        ("0 2,3 14 3 *", vec!["07:00"]),
        ("30 1-3 14 3 *", vec!["06:30", "07:00", "07:30"]),
        ("*/30 2 14 3 *", vec![]),
        (
            "30 */2 14 3 *",
            vec!["05:30", "08:30", "10:30", "12:30", "14:30", "16:30", "18:30", "20:30", "22:30", "00:30", "02:30"],
        ),
    ] {
        assert_eq!(ticks(expression, "America/New_York", "2027-03-14T05:00:00Z"), expected, "{expression}");
    }
}

#[test]
fn a_change_by_half_an_hour_and_one_in_berlin() {
    // Lord Howe goes from 02:00 to 02:30 on 2026-10-04, which is 15:30 UTC on the 3rd, and from 02:00 back to 01:30 on
    // 2027-04-04, which is 15:00 UTC on the 3rd.
    for (zone, expression, from, expected) in [
        ("Australia/Lord_Howe", "15 2 4 10 *", "2026-10-03T12:00:00Z", vec!["15:30"]),
        ("Australia/Lord_Howe", "15,45 2 4 10 *", "2026-10-03T12:00:00Z", vec!["15:30", "15:45"]),
        ("Australia/Lord_Howe", "*/15 2 4 10 *", "2026-10-03T12:00:00Z", vec!["15:30", "15:45"]),
        ("Australia/Lord_Howe", "45 1 4 4 *", "2027-04-03T12:00:00Z", vec!["14:45"]),
        ("Australia/Lord_Howe", "15,45 1,2 4 4 *", "2027-04-03T12:00:00Z", vec!["14:15", "14:45", "15:45", "16:15"]),
        ("Australia/Lord_Howe", "45 */1 4 4 *", "2027-04-03T14:00:00Z", vec!["14:45", "15:15", "16:15"]),
        ("Europe/Berlin", "30 2,14 29 3 *", "2026-03-28T22:00:00Z", vec!["01:00", "12:30"]),
        ("Europe/Berlin", "15,45 2 25 10 *", "2026-10-24T22:00:00Z", vec!["00:15", "00:45"]),
        ("Europe/Berlin", "*/30 2 25 10 *", "2026-10-24T22:00:00Z", vec!["00:00", "00:30", "01:00", "01:30"]),
        // Samoa skipped the whole of 2011-12-30.
        ("Pacific/Apia", "0 12 * * *", "2011-12-29T12:00:00Z", vec!["22:00", "10:00", "22:00"]),
    ] {
        let found = ticks(expression, zone, from);
        assert_eq!(found[..expected.len().min(found.len())], expected, "{expression} in {zone}");
    }
}

#[test]
fn a_day_field_with_a_star_narrows_the_other() {
    let days = |expression: &str| {
        let schedule: CronSchedule = expression.parse().unwrap_or_else(|error| panic!("{error}"));
        let from: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap_or_else(|error| panic!("{error}"));
        schedule.ticks(from).take(3).map(|tick| tick.to_string()[..10].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(days("0 0 */2 * 1"), ["2026-12-07", "2026-12-21", "2027-01-11"], "Mondays on odd days");
    assert_eq!(days("0 0 1 * */2"), ["2026-12-01", "2027-04-01", "2027-05-01"], "the 1st on every other weekday");
    assert_eq!(days("0 0 13 * 5"), ["2026-12-04", "2026-12-11", "2026-12-13"], "Fridays and the 13th");
}

#[test]
fn a_wildcard_that_rarely_matches_is_found_at_once() {
    let schedule = CronSchedule::new("*/5 * 29 2 1", "Europe/Berlin").unwrap_or_else(|error| panic!("{error}"));
    let from = "2026-11-29T12:00:00Z".parse().unwrap_or_else(|error| panic!("{error}"));
    // Either day field will do here: the 1st Monday in February comes first.
    assert_eq!(schedule.after(from).map(|tick| tick.to_string()), Some("2027-01-31T23:00:00.000Z".to_owned()));
    let leap = CronSchedule::new("* * 29 2 *", "America/New_York").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(leap.after(from).map(|tick| tick.to_string()), Some("2028-02-29T05:00:00.000Z".to_owned()));
}

/// A field as it is written, the values that it means, and whether it begins with `*`.
type Field = (String, BTreeSet<i8>, bool);

/// Any form of a field that goes from `least` to `most`.
fn field(least: i8, most: i8) -> impl Strategy<Value = Field> {
    let all = move || (least..=most).collect::<BTreeSet<i8>>();
    let range = (least..=most, least..=most).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop_oneof![
        Just(("*".to_owned(), all(), true)),
        (1..=most - least + 1).prop_map(move |step| {
            (format!("*/{step}"), (least..=most).step_by(step.unsigned_abs().into()).collect(), true)
        }),
        (least..=most).prop_map(|value| (value.to_string(), BTreeSet::from([value]), false)),
        range.clone().prop_map(|(from, to)| (format!("{from}-{to}"), (from..=to).collect(), false)),
        (range, 1..8_i8).prop_map(|((from, to), step)| {
            let values = (from..=to).step_by(step.unsigned_abs().into()).collect();
            (format!("{from}-{to}/{step}"), values, false)
        }),
        prop::collection::btree_set(least..=most, 1..4).prop_map(|values| {
            let text: Vec<_> = values.iter().map(ToString::to_string).collect();
            (text.join(","), values, false)
        }),
    ]
}

/// What a walk over every minute from `from` on finds: an oracle that knows no tick but by looking at each clock time.
fn walked(fields: &[Field; 4], zone: &TimeZone, from: Instant, minutes: i64) -> Vec<Instant> {
    let [minute, hour, day, weekday] = fields;
    let matches = |civil: DateTime| {
        let in_day = day.1.contains(&civil.day());
        let in_week = weekday.1.contains(&civil.weekday().to_sunday_zero_offset());
        let day = if day.2 || weekday.2 { in_day && in_week } else { in_day || in_week };
        day && minute.1.contains(&civil.minute()) && hour.1.contains(&civil.hour())
    };
    let is_fixed = !minute.2 && !hour.2;
    let mut shown = HashSet::new();
    let mut before: Option<DateTime> = None;
    let mut found = Vec::new();
    // Half a day earlier, so that the walk knows what the clock has shown.
    for number in -720..minutes {
        let at = from + number.minutes();
        let civil = zone.to_datetime(at);
        let mut fires = matches(civil) && !(is_fixed && shown.contains(&civil));
        let mut skipped = before.map_or(civil, |before| before + 1.minute());
        while is_fixed && skipped < civil {
            fires |= matches(skipped);
            shown.insert(skipped);
            skipped += 1.minute();
        }
        shown.insert(civil);
        before = Some(civil);
        if number > 0 && fires {
            found.push(at);
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Any form of the fields, in zones with all kinds of changes, fires when a walk over every minute says so.
    #[test]
    fn any_expression_fires_as_a_walk_over_every_minute_says(
        minute in field(0, 59), hour in field(0, 23), day in field(1, 31), weekday in field(0, 6),
        change in prop::sample::select(vec![
            ("America/New_York", "2027-03-14T07:00:00Z"), ("America/New_York", "2027-11-07T06:00:00Z"),
            ("Europe/Berlin", "2026-03-29T01:00:00Z"), ("Europe/Berlin", "2026-10-25T01:00:00Z"),
            ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"), ("Australia/Lord_Howe", "2027-04-03T15:00:00Z"),
            ("Africa/Casablanca", "2026-03-22T02:00:00Z"), ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
            ("Asia/Kathmandu", "2026-01-01T00:00:00Z"),
        ]),
        hours_before in 1..30_i64,
    ) {
        let (zone, at) = change;
        let at: Instant = at.parse().unwrap_or_else(|error| panic!("{error}"));
        let from = at - hours_before.hours();
        let expression = format!("{} {} {} * {}", minute.0, hour.0, day.0, weekday.0);
        let Ok(schedule) = CronSchedule::new(&expression, zone) else {
            return Err(TestCaseError::fail(format!("{expression} is refused")));
        };
        let tz = TimeZone::get(zone).unwrap_or_else(|error| panic!("{error}"));
        let minutes = 48 * 60;
        let millis = |at: Instant| Timestamp::from_millis(at.as_millisecond().unsigned_abs());
        let end = millis(from + minutes.minutes());
        let found: Vec<_> = schedule.ticks(millis(from)).take_while(|tick| *tick < end).collect();
        let expected: Vec<_> = walked(&[minute, hour, day, weekday], &tz, from, minutes).into_iter().map(millis).collect();
        prop_assert_eq!(found, expected, "{} in {} from {}", expression, zone, from);
    }
}
