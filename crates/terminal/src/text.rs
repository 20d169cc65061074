//! Small pieces of text: sizes, times and counts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use faas_types::{Span, Timestamp};

pub use crate::terminal_text::{visible, visible_json};

/// A number of bytes for people: `1.2 MB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KB", "MB", "GB"];
    let mut unit = 0;
    let mut scale = 1_u64;
    while unit + 1 < UNITS.len() && count >= scale * 1_024 {
        unit += 1;
        scale *= 1_024;
    }
    if unit == 0 {
        return format!("{count} B");
    }
    let tenths = (u128::from(count) * 10 + u128::from(scale) / 2) / u128::from(scale);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// Milliseconds for people: `0.8 ms`, `120 ms`, `3.20 s`.
pub fn millis(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.2} s", ms / 1_000.0),
    }
}

/// How long something took.
pub fn took(span: Duration) -> String {
    millis(span.as_secs_f64() * 1_000.0)
}

/// An RFC 3339 time without its fraction; anything else as it is.
pub fn time(text: &str) -> String {
    match text.split_once('.') {
        Some((whole, _)) if text.ends_with('Z') => format!("{whole}Z"),
        _ => text.to_owned(),
    }
}

/// How far from now an RFC 3339 time is, as lists show times: `5s ago`, `in 3d`; anything else as it is.
pub fn when(text: &str) -> String {
    when_at(text, now_millis())
}

/// A time as the page of a single thing shows it: `2026-11-21T08:00:00Z, 5s ago`; anything else as it is.
pub fn dated(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(_) => format!("{}, {}", time(text), when(text)),
        Err(_) => text.to_owned(),
    }
}

fn when_at(text: &str, now_millis: u64) -> String {
    let Ok(time) = text.parse::<Timestamp>() else { return text.to_owned() };
    let is_to_come = time.as_millis() > now_millis;
    // What was asked to come in two days is two days away when it is shown a moment later.
    let whole = |seconds: u64, unit: u64| if is_to_come { (seconds + unit / 2) / unit } else { seconds / unit };
    let distance = match now_millis.abs_diff(time.as_millis()) / 1_000 {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", whole(seconds, 60)),
        seconds @ 3_600..86_400 => format!("{}h", whole(seconds, 3_600)),
        seconds => format!("{}d", whole(seconds, 86_400)),
    };
    if is_to_come { format!("in {distance}") } else { format!("{distance} ago") }
}

/// Milliseconds from one RFC 3339 time to a later one.
#[expect(clippy::cast_precision_loss, reason = "a run's times are far below the bound of exact numbers")]
pub fn millis_between(earlier: &str, later: &str) -> Option<f64> {
    let (earlier, later) = (earlier.parse::<Timestamp>().ok()?, later.parse::<Timestamp>().ok()?);
    Some(later.as_millis().saturating_sub(earlier.as_millis()) as f64)
}

fn now_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// A length of time with its two largest units: `3d 4h`, `12m 5s`.
pub fn uptime(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// `one file`, `3 files`.
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A `--since`: how long ago (`10m`) or a time (`2026-11-21T08:00:00Z`), as the time.
pub fn moment(text: &str) -> Result<String, String> {
    moment_before(text, now_millis())
}

fn moment_before(text: &str, now_millis: u64) -> Result<String, String> {
    // A bare number would read as seconds, which `--since 2026` does not mean.
    if let Ok(span) = text.parse::<Span>().and_then(|span| match text.parse::<u64>() {
        Ok(_) => "".parse(),
        Err(_) => Ok(span),
    }) {
        let ago = u64::try_from(span.get().as_millis()).unwrap_or(u64::MAX);
        return Ok(Timestamp::from_millis(now_millis.saturating_sub(ago)).to_string());
    }
    text.parse::<Timestamp>()
        .map(|time| time.to_string())
        .map_err(|_| format!("`{text}` is neither how long ago (10m, 2h, 7d) nor a time (2026-11-21T08:00:00Z)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(128 << 20)], ["0 B", "1023 B", "1.5 KB", "128.0 MB"]);
        assert_eq!([millis(0.84), millis(120.4), millis(3_200.0)], ["0.8 ms", "120 ms", "3.20 s"]);
        assert_eq!([uptime(59), uptime(125), uptime(7_260), uptime(90_000)], ["59s", "2m 5s", "2h 1m", "1d 1h"]);
        assert_eq!([counted(1, "file"), counted(0, "file")], ["1 file", "0 files"]);
        assert_eq!(time("2026-11-21T08:00:00.042Z"), "2026-11-21T08:00:00Z");
    }

    #[test]
    fn a_moment_is_ago_or_absolute() {
        let now = 1_763_712_000_000;
        assert_eq!(moment_before("10m", now).as_deref(), Ok("2025-11-21T07:50:00.000Z"));
        assert_eq!(moment_before("2025-11-21T07:00:00Z", now).as_deref(), Ok("2025-11-21T07:00:00.000Z"));
        assert_eq!(moment_before("1d", now).as_deref(), Ok("2025-11-20T08:00:00.000Z"));
        for (time, shown) in [
            ("2025-11-21T07:59:58Z", "2s ago"),
            ("2025-11-23T07:59:59Z", "in 2d"),
            ("2025-11-19T08:00:01Z", "1d ago"),
            ("2025-11-21T07:00:01Z", "59m ago"),
            ("2025-11-20T09:00:00Z", "23h ago"),
            ("2025-10-21T08:00:00Z", "31d ago"),
            ("2025-11-21T13:00:00Z", "in 5h"),
            ("2025-11-24T08:00:00Z", "in 3d"),
            ("soon", "soon"),
        ] {
            assert_eq!(when_at(time, now), shown, "{time}");
        }
        for bad in ["yesterday", "2026", ""] {
            assert!(moment_before(bad, now).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_of_a_page_are_absolute_too() {
        assert!(
            dated("2020-01-01T00:00:00.5Z").starts_with("2020-01-01T00:00:00Z, "),
            "{}",
            dated("2020-01-01T00:00:00Z")
        );
        assert_eq!(dated("soon"), "soon");
        assert_eq!(millis_between("2020-01-01T00:00:00.5Z", "2020-01-01T00:00:02Z"), Some(1_500.0));
    }
}
