//! Where an alias sends calls: to one version, or to two by weight.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::text_form::text_form;
use crate::{Mover, Timestamp};

/// A part of a whole in thousandths: 0 to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Permille(u16);

/// Why a number is not a part of a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a share; write 0 to 100 percent with at most one decimal, such as 12.5")]
pub struct InvalidShare(String);

/// A named pointer to a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The version's number.
    pub version: u32,
    /// The version that takes a share of the calls; the first one takes the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// What keeps a caller with the version that it got first, while there is a split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Affinity>,
    /// When a preview ends; `None` for an alias that stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was last moved.
    pub moved_at: Timestamp,
    /// Who moved it last; absent for moves of servers that did not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_by: Option<Mover>,
}

/// A second version and its share of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The version's number.
    pub version: u32,
    /// Its share: more than nothing, less than all.
    pub share: Permille,
}

/// A call's place among a thousand: those below the share go to the second version. A greater share moves no call back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lot(u16);

/// The part of a request that tells callers apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// A header, by its name in lower case.
    Header(String),
    /// A cookie, by its name.
    Cookie(String),
}

/// Why a text names no part of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write it as header:NAME or cookie:NAME, with 1 to 64 letters, digits, - or _ in the name")]
pub struct InvalidAffinity;

// === impl Permille ===

impl Permille {
    /// So many thousandths, if that is no more than the whole.
    #[must_use]
    pub const fn new(thousandths: u16) -> Option<Self> {
        if thousandths <= 1000 { Some(Self(thousandths)) } else { None }
    }

    /// So many percent, with one decimal at the most.
    ///
    /// # Errors
    /// When it is no part of a whole, or too fine.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
    pub fn from_percent(percent: f64) -> Result<Self, InvalidShare> {
        let thousandths = (percent * 10.0).round();
        let is_exact = (0.0..=100.0).contains(&percent) && (thousandths - percent * 10.0).abs() < 1e-6;
        is_exact.then_some(Self(thousandths as u16)).ok_or_else(|| InvalidShare(percent.to_string()))
    }

    /// The thousandths.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The same in percent.
    #[must_use]
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10.0
    }

    /// Whether it is neither nothing nor all.
    #[must_use]
    pub const fn is_partial(self) -> bool {
        0 < self.0 && self.0 < 1000
    }
}

impl fmt::Display for Permille {
    /// In percent, without the sign.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.percent().fmt(f)
    }
}

impl<'de> Deserialize<'de> for Permille {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let thousandths = u16::deserialize(deserializer)?;
        Self::new(thousandths).ok_or_else(|| serde::de::Error::custom("more than 1000 thousandths"))
    }
}

// === impl Alias ===

impl Alias {
    /// An alias that sends every call to one version.
    #[must_use]
    pub fn to(version: u32, now: Timestamp) -> Self {
        Self { version, split: None, sticky: None, expires_at: None, moved_at: now, moved_by: None }
    }

    /// The version that a call of this place goes to.
    #[must_use]
    pub fn pick(&self, lot: Lot) -> u32 {
        match self.split {
            Some(split) if lot.0 < split.share.get() => split.version,
            _ => self.version,
        }
    }

    /// Whether some calls go to this version.
    #[must_use]
    pub fn reaches(&self, version: u32) -> bool {
        self.version == version || self.split.is_some_and(|split| split.version == version)
    }

    /// Whether its time is over.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

// === impl Lot ===

impl Lot {
    /// The place of the `turn`-th call. Multiples of the golden ratio fill the range as evenly as can be from any turn on,
    /// so that every stretch of calls is split by its weights.
    #[must_use]
    pub const fn of_turn(turn: u64) -> Self {
        Self::of_bits(turn.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// The place that 64 even bits mean.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "it is below 1000")]
    pub const fn of_bits(bits: u64) -> Self {
        Self((((bits >> 32) * 1000) >> 32) as u16)
    }
}

// === impl Affinity ===

impl FromStr for Affinity {
    type Err = InvalidAffinity;

    fn from_str(text: &str) -> Result<Self, InvalidAffinity> {
        let (kind, name) = text.split_once(':').ok_or(InvalidAffinity)?;
        let is_name = (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        match kind {
            "header" if is_name => Ok(Self::Header(name.to_ascii_lowercase())),
            "cookie" if is_name => Ok(Self::Cookie(name.to_owned())),
            _ => Err(InvalidAffinity),
        }
    }
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

text_form!(Affinity);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(share: u16) -> Alias {
        let share = Permille::new(share).expect("a share");
        Alias { split: Some(Split { version: 2, share }), ..Alias::to(1, Timestamp::from_millis(0)) }
    }

    proptest! {
        #[test]
        fn any_ten_thousand_calls_are_split_by_weight(share in 1u16..1000, start: u64) {
            let alias = split(share);
            let second = (0..10_000).filter(|n| alias.pick(Lot::of_turn(start.wrapping_add(*n))) == 2).count();
            // A tenth of a percent, where two percent are promised.
            prop_assert!(second.abs_diff(usize::from(share) * 10) <= 10, "{second} of {share} permille");
        }

        #[test]
        fn a_greater_share_takes_no_caller_back(bits: u64, share in 1u16..999, more in 1u16..500) {
            let lot = Lot::of_bits(bits);
            let more = (share + more).min(999);
            prop_assert!(split(share).pick(lot) == 1 || split(more).pick(lot) == 2);
        }
    }

    #[test]
    fn shares_have_one_decimal() {
        assert_eq!(Permille::from_percent(12.5).map(Permille::get), Ok(125));
        assert_eq!(Permille::from_percent(0.1).map(Permille::get), Ok(1));
        assert_eq!(Permille::from_percent(100.0).map(|share| share.to_string()), Ok("100".into()));
        for bad in [-0.1, 100.1, 0.05, f64::NAN, f64::INFINITY] {
            assert!(Permille::from_percent(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Permille>("1001").is_err());
    }

    #[test]
    fn parts_of_a_request_are_checked() {
        let parse = |text: &str| text.parse::<Affinity>().map(|by| by.to_string());
        assert_eq!(parse("header:X-User"), Ok("header:x-user".into()));
        assert_eq!(parse("cookie:uId"), Ok("cookie:uId".into()));
        for bad in ["", "header", "header:", "query:a", "header:a b", "cookie:é", &format!("cookie:{}", "a".repeat(65))]
        {
            assert_eq!(parse(bad), Err(InvalidAffinity), "{bad}");
        }
    }
}
