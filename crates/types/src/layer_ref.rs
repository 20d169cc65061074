//! How a manifest names a layer: `shared-utils`, or `shared-utils:3`.

use std::fmt;
use std::str::FromStr;

use crate::text_form::text_form;
use crate::{InvalidName, LayerName};

/// A named layer, with the number of a version or without.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LayerRef {
    /// The layer's name.
    pub name: LayerName,
    /// The version; the newest where absent.
    pub version: Option<u32>,
}

/// Why a text names no layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLayerRef {
    /// The part before the colon.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The part behind it.
    #[error("the version of layer `{0}` must be a number from 1, such as `{0}:3`")]
    Version(LayerName),
}

// === impl LayerRef ===

impl FromStr for LayerRef {
    type Err = InvalidLayerRef;

    fn from_str(text: &str) -> Result<Self, InvalidLayerRef> {
        let (name, version) = match text.split_once(':') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let name: LayerName = name.parse()?;
        let is_number = |text: &&str| text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        let number = |text: &str| Some(text).filter(is_number)?.parse::<u32>().ok();
        match version.map(|text| number(text).ok_or_else(|| InvalidLayerRef::Version(name.clone()))).transpose() {
            Ok(version) => Ok(Self { name, version }),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Display for LayerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}:{version}", self.name),
            None => self.name.fmt(f),
        }
    }
}

text_form!(LayerRef);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_come_back() {
        for text in ["shared-utils", "shared-utils:1", "a:4294967295"] {
            let layer: LayerRef = text.parse().expect(text);
            assert_eq!(layer.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in
            ["", ":1", "A", "a:", "a:0", "a:01", "a:+1", "a:-1", "a:1:2", "a:4294967296", "a:latest", "a/b", "lay_1"]
        {
            assert!(text.parse::<LayerRef>().is_err(), "{text}");
        }
    }
}
