//! A point in time to the millisecond, RFC 3339 in UTC on the wire.

use std::fmt;
use std::time::Duration;

use jiff::tz::Offset;
use serde::{Deserialize, Serialize, Serializer};

/// Bytes of a time as text, such as `2026-01-31T08:00:00.042Z`.
const TEXT_LEN: usize = 24;

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

// === impl Timestamp ===

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This time moved later; saturates at the end of time.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Timestamp {
    /// As text; a record of a call has five of them, so that this writes each digit itself. Times after 9999 are its last.
    fn text(self, buffer: &mut [u8; TEXT_LEN]) -> &str {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        let time = Offset::UTC.to_datetime(time);
        let fraction = time.subsec_nanosecond() / 1_000_000;
        *buffer = *b"0000-00-00T00:00:00.000Z";
        digits(&mut buffer[..4], time.year().into());
        digits(&mut buffer[5..7], time.month().into());
        digits(&mut buffer[8..10], time.day().into());
        digits(&mut buffer[11..13], time.hour().into());
        digits(&mut buffer[14..16], time.minute().into());
        digits(&mut buffer[17..19], time.second().into());
        digits(&mut buffer[20..23], fraction);
        std::str::from_utf8(buffer).unwrap_or_default()
    }
}

/// Writes a number that is not negative and has no more digits than there is room for.
fn digits(room: &mut [u8], mut number: i32) {
    for place in room.iter_mut().rev() {
        *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; TEXT_LEN]))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text(&mut [0; TEXT_LEN]))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl std::str::FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time: jiff::Timestamp =
            text.parse().map_err(|_| format!("`{text}` is not a time such as 2026-11-21T08:00:00Z"))?;
        u64::try_from(time.as_millisecond()).map(Self).map_err(|_| format!("`{text}` is before 1970"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_rfc_3339_with_milliseconds() {
        let time = Timestamp::from_millis(1_763_712_000_042);
        assert_eq!(time.to_string(), "2025-11-21T08:00:00.042Z");
        assert_eq!(time.to_string().parse(), Ok(time));
    }

    #[test]
    fn text_is_that_of_the_calendar() {
        let last = u64::try_from(jiff::Timestamp::MAX.as_millisecond()).expect("after 1970");
        let steps = (0..2_000).map(|n| n * (last / 2_000) + n * 12_345);
        let leaps = [951_782_400_000, 951_868_799_999, 4_107_542_399_999, 1_709_164_800_001, 0];
        for millis in steps.chain(leaps).chain([last, last + 1, u64::MAX]) {
            let known = i64::try_from(millis).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
            let known = known.unwrap_or(jiff::Timestamp::MAX);
            assert_eq!(Timestamp::from_millis(millis).to_string(), format!("{known:.3}"));
        }
    }
}
