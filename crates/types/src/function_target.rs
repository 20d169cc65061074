//! Whom a destination calls: a function, by one of its aliases.

use std::fmt;
use std::str::FromStr;

use crate::text_form::text_form;
use crate::{AliasName, FunctionName, InvalidName};

/// A function by one of its aliases: `name`, which stands for `name:live`, or `name:alias`. Not by a version's number: a
/// version that nothing but a text asks for may be dropped, where an alias keeps its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionTarget {
    /// The function.
    pub name: FunctionName,
    /// Its alias.
    pub alias: AliasName,
}

/// Why a text is no [`FunctionTarget`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFunctionTarget {
    /// A part of it is no name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// It names a version.
    #[error("`{0}` names a version; set an alias on it and name that, as in hello:stable")]
    Version(String),
}

// === impl FunctionTarget ===

impl FromStr for FunctionTarget {
    type Err = InvalidFunctionTarget;

    fn from_str(text: &str) -> Result<Self, InvalidFunctionTarget> {
        let Some((name, alias)) = text.split_once(':') else {
            return Ok(Self { name: text.parse()?, alias: AliasName::live() });
        };
        let name: FunctionName = name.parse()?;
        if !alias.is_empty() && alias.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidFunctionTarget::Version(text.chars().take(80).collect()));
        }
        Ok(Self { name, alias: alias.parse()? })
    }
}

impl fmt::Display for FunctionTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        if self.alias == AliasName::live() { Ok(()) } else { write!(f, ":{}", self.alias) }
    }
}

text_form!(FunctionTarget);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_goes_without_saying() {
        for (text, shown) in [("ship", "ship"), ("ship:live", "ship"), ("ship:next", "ship:next")] {
            assert_eq!(text.parse::<FunctionTarget>().map(|target| target.to_string()).as_deref(), Ok(shown));
        }
    }

    #[test]
    fn what_names_no_alias_is_refused() {
        for (text, why) in [
            ("", "not a valid function name"),
            ("Ship", "not a valid function name"),
            (":next", "not a valid function name"),
            ("ship:", "not a valid alias name"),
            ("ship:a:b", "not a valid alias name"),
            ("ship:3", "set an alias on it"),
        ] {
            let error = text.parse::<FunctionTarget>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
