//! `Server-Timing`: where a call's time went, for browsers and people.
//!
//! On the path of every call: written into one stack buffer, and copied once into the header's value.

use std::io::Write;

use faas_types::Timeline;
use http::{HeaderName, HeaderValue};

/// The header; a function's own entries stay beside ours.
pub(crate) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Six entries with the longest name and the largest number there is.
const LENGTH_MAX: usize = 6 * 40;

/// The phases in milliseconds: `queue`, for a cold call `sandbox`, `runtime` and `import`, then `handler` and `total`.
pub(crate) fn server_timing(timeline: &Timeline, total_us: u64) -> HeaderValue {
    let mut text = [0; LENGTH_MAX];
    let mut left = text.as_mut_slice();
    entry(&mut left, "queue;dur=", timeline.queue_us);
    if let Some(start) = &timeline.start {
        entry(&mut left, ", sandbox;dur=", start.sandbox_us);
        entry(&mut left, ", runtime;dur=", start.runtime_us);
        entry(&mut left, ", import;dur=", start.import_us);
    }
    entry(&mut left, ", handler;dur=", timeline.handler_us);
    entry(&mut left, ", total;dur=", total_us);
    let unused = left.len();
    HeaderValue::from_bytes(&text[..LENGTH_MAX - unused]).unwrap_or(HeaderValue::from_static("total"))
}

fn entry(left: &mut &mut [u8], name: &str, micros: u64) {
    // Cannot fail: the buffer holds six of the longest.
    let _ = left.write_all(name.as_bytes());
    let _ = write!(left, "{}.{:03}", micros / 1_000, micros % 1_000);
}

#[cfg(test)]
mod tests {
    use faas_types::StartTimes;

    use super::*;

    #[test]
    fn phases_are_milliseconds() {
        let warm = Timeline { queue_us: 7, start: None, handler_us: 1_250 };
        assert_eq!(server_timing(&warm, 1_301), "queue;dur=0.007, handler;dur=1.250, total;dur=1.301");
    }

    #[test]
    fn the_longest_fits() {
        let start = StartTimes { sandbox_us: u64::MAX, runtime_us: u64::MAX, import_us: u64::MAX };
        let longest = Timeline { queue_us: u64::MAX, start: Some(start), handler_us: u64::MAX };
        let value = server_timing(&longest, u64::MAX);
        let names: Vec<_> =
            value.to_str().expect("text").split(", ").filter_map(|entry| entry.split(';').next()).collect();
        assert_eq!(names, ["queue", "sandbox", "runtime", "import", "handler", "total"]);
        assert!(value.to_str().expect("text").ends_with(".615"));
    }
}
