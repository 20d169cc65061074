//! JSON that is kept and passed on without being taken apart.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One JSON value as its text. Its syntax was checked; nothing bounds how deeply it nests.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonText(Box<RawValue>);

// === impl JsonText ===

impl JsonText {
    /// The text of one JSON value; `None` for anything else.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().map(Self)
    }

    /// The text, with every digit of its numbers.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// The same, unless it nests more deeply than programs can be expected to read.
    #[must_use]
    pub fn shallow(self) -> Option<Self> {
        self.value().is_some().then_some(self)
    }

    /// The value; `None` where it nests more deeply than a value may.
    #[must_use]
    pub fn value(&self) -> Option<serde_json::Value> {
        serde_json::from_str(self.0.get()).ok()
    }
}

impl fmt::Display for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl PartialEq for JsonText {
    /// By the text.
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_whole_value_is_json() {
        for text in ["{\"ä\": [1, 2.5, null, \"\\u0000\"]}", "7", "\"\"", "null", "[[]]"] {
            let kept = JsonText::parse(text.as_bytes()).expect(text);
            assert_eq!(kept.value(), serde_json::from_str(text).ok(), "{text}");
            let again: JsonText = serde_json::from_str(&serde_json::to_string(&kept).expect("text")).expect(text);
            assert_eq!(again, kept);
        }
        for text in ["", "{", "1 2", "{a:1}", "nul", "\"\u{7}\"", "NaN"] {
            assert!(JsonText::parse(text.as_bytes()).is_none(), "{text}");
        }
        assert!(JsonText::parse(b"\"\xff\"").is_none());
    }

    #[test]
    fn no_digit_is_lost() {
        for text in ["12345678901234567890123", "0.1000000000000000055511151231257827", "1e400", "{\"n\": 1.0}"] {
            let kept = JsonText::parse(text.as_bytes()).expect(text);
            assert_eq!((kept.text(), serde_json::to_string(&kept).expect("text").as_str()), (text, text));
        }
    }

    #[test]
    fn nesting_beyond_measure_is_kept_and_has_no_value() {
        let deep = "[".repeat(30_000) + &"]".repeat(30_000);
        assert!(JsonText::parse(deep.as_bytes()).is_none_or(|kept| kept.value().is_none()));
    }
}
