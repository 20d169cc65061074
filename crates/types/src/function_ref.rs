//! A function as a restriction or a path names it.

use std::fmt;
use std::str::FromStr;

use crate::text_form::text_form;
use crate::{FunctionId, FunctionName, InvalidName};

/// A function by its id, which dies with it, or by its name, which the next function of that name has too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FunctionRef {
    /// `fn_…`
    Id(FunctionId),
    /// `hello`
    Name(FunctionName),
}

// === impl FunctionRef ===

impl FunctionRef {
    /// Whether it means the function of this id and name.
    #[must_use]
    pub fn means(&self, id: FunctionId, name: &FunctionName) -> bool {
        match self {
            Self::Id(own) => *own == id,
            Self::Name(own) => own == name,
        }
    }
}

impl fmt::Display for FunctionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl FromStr for FunctionRef {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        // No name has the underscore of an id.
        text.parse().map(Self::Id).or_else(|_| text.parse().map(Self::Name))
    }
}

text_form!(FunctionRef);
