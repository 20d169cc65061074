//! `Server-Timing`: where a call's time went, for browsers and people.
//!
//! On the path of every call: written digit by digit into one stack buffer, and copied once into the header's value.

use faas_types::Timeline;
use http::{HeaderName, HeaderValue};

/// The header; a function's own entries stay beside ours.
pub(crate) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Six entries with the longest name and the largest number there is.
const LENGTH_MAX: usize = 6 * 40;

/// A header's value in the making.
struct Text {
    bytes: [u8; LENGTH_MAX],
    length: usize,
}

/// The phases in milliseconds: `queue`, for a cold call `sandbox`, `runtime` and `import`, then `handler` and `total`.
pub(crate) fn server_timing(timeline: &Timeline, total_us: u64) -> HeaderValue {
    let mut text = Text::new();
    text.entry("queue;dur=", timeline.queue_us);
    if let Some(start) = &timeline.start {
        text.entry(", sandbox;dur=", start.sandbox_us);
        text.entry(", runtime;dur=", start.runtime_us);
        text.entry(", import;dur=", start.import_us);
    }
    text.entry(", handler;dur=", timeline.handler_us);
    text.entry(", total;dur=", total_us);
    text.value()
}

/// A time in milliseconds with three decimals.
pub(crate) fn milliseconds(micros: u64) -> HeaderValue {
    let mut text = Text::new();
    text.entry("", micros);
    text.value()
}

// === impl Text ===

impl Text {
    const fn new() -> Self {
        Self { bytes: [0; LENGTH_MAX], length: 0 }
    }

    fn entry(&mut self, name: &str, micros: u64) {
        self.push(name.as_bytes());
        self.push(itoa::Buffer::new().format(micros / 1_000).as_bytes());
        let decimals = micros % 1_000;
        let digit = |value: u64| b'0' + u8::try_from(value % 10).unwrap_or_default();
        self.push(&[b'.', digit(decimals / 100), digit(decimals / 10), digit(decimals)]);
    }

    /// Leaves out what does not fit: the buffer holds six of the longest.
    fn push(&mut self, part: &[u8]) {
        if let Some(room) = self.bytes[self.length..].get_mut(..part.len()) {
            room.copy_from_slice(part);
            self.length += part.len();
        }
    }

    fn value(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.bytes[..self.length]).unwrap_or(HeaderValue::from_static("total"))
    }
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
    fn decimals_keep_their_zeros() {
        for (micros, text) in [(0, "0.000"), (9, "0.009"), (70, "0.070"), (1_000, "1.000"), (61_234_567, "61234.567")] {
            assert_eq!(milliseconds(micros), text);
        }
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
