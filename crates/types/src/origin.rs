//! Where the settings of a version came from, and what its manifest says besides them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text_form::text_form;

/// Bytes of an origin.
const ORIGIN_MAX: usize = 200;

/// Where a setting came from, in words: a line of a manifest (`faas.toml:12`), a flag of the command line (`--name`), what
/// was found in the files (`detected: hello.py`), the request of a deployment, or nowhere at all (`default`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

/// Why a text is not an [`Origin`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an origin has 1 to {ORIGIN_MAX} bytes and no control characters, such as \"faas.toml:12\"")]
pub struct InvalidOrigin;

/// Origins by key of the manifest, such as `scaling.max`. A key that is not there was left at its default.
pub type Origins = BTreeMap<String, Origin>;

/// What a version keeps of its manifest besides the settings themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// What the function does, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What looks like a secret in its files and is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_secrets: Vec<String>,
    /// Where each key came from.
    pub origins: Origins,
}

// === impl Origin ===

impl Origin {
    /// A line of a manifest.
    #[must_use]
    pub fn line(file: &str, line: u32) -> Self {
        Self(format!("{file}:{line}"))
    }

    /// A line that several functions of one manifest share.
    #[must_use]
    pub fn shared(file: &str, line: u32) -> Self {
        Self(format!("{file}:{line}, shared"))
    }

    /// A flag of the command line.
    #[must_use]
    pub fn flag(flag: &str) -> Self {
        Self(flag.to_owned())
    }

    /// What a file's name or its ending tells.
    #[must_use]
    pub fn detected(file: &str) -> Self {
        let clean: String = file.chars().filter(|c| !c.is_control()).collect();
        let end = clean.floor_char_boundary(ORIGIN_MAX - 20);
        Self(format!("detected: {}", &clean[..end]))
    }

    /// The request of a deployment that says nothing of origins.
    #[must_use]
    pub fn request() -> Self {
        Self("request".to_owned())
    }

    /// What holds where nothing is said.
    #[must_use]
    pub fn default_value() -> Self {
        Self("default".to_owned())
    }

    /// The words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let fits = (1..=ORIGIN_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned())).ok_or(InvalidOrigin)
    }
}

text_form!(Origin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_bounded() {
        let long = "x".repeat(ORIGIN_MAX);
        for good in ["faas.toml:12", "--name", &long] {
            assert_eq!(good.parse::<Origin>().map(|origin| origin.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "a\nb", "\u{1b}[31m", &format!("{long}x")] {
            assert_eq!(bad.parse::<Origin>(), Err(InvalidOrigin), "{bad:?}");
        }
        let detected = Origin::detected(&format!("a\n{}", "ü".repeat(200)));
        assert!(detected.as_str().parse::<Origin>().is_ok(), "{detected}");
    }
}
