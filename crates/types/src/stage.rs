//! The stages of a project.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::AliasName;

/// A stage of a project: what its functions run with while they are made, tried and used. Each has vars and secrets of
/// its own, and inherits those of its parent that it does not set itself.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// While a function is made; previews too.
    Dev,
    /// While it is tried.
    Staging,
    /// What users meet.
    #[default]
    Prod,
}

/// Why a text is not a [`Stage`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a stage; stages are dev, staging and prod")]
pub struct InvalidStage(String);

// === impl Stage ===

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 3] = [Self::Dev, Self::Staging, Self::Prod];

    /// The stage of calls that come by an alias: `dev` and `staging` have their own, previews are in `dev`, all others
    /// in `prod`.
    #[must_use]
    pub fn of(alias: &AliasName, is_preview: bool) -> Self {
        match alias.as_str() {
            _ if is_preview => Self::Dev,
            "dev" => Self::Dev,
            "staging" => Self::Staging,
            _ => Self::Prod,
        }
    }

    /// Where a stage looks for what it does not set itself.
    #[must_use]
    pub const fn parent(self) -> Option<Self> {
        match self {
            Self::Dev | Self::Staging => Some(Self::Prod),
            Self::Prod => None,
        }
    }

    /// The stage itself, its parent, and so on: the first that has something wins.
    pub fn chain(self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |stage| stage.parent())
    }

    /// The stage as documents and commands write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Staging => "staging",
            Self::Prod => "prod",
        }
    }

    /// Whether it is the one that is meant where nothing is said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Stage {
    type Err = InvalidStage;

    fn from_str(text: &str) -> Result<Self, InvalidStage> {
        let found = Self::ALL.into_iter().find(|stage| stage.as_str() == text);
        found.ok_or_else(|| InvalidStage(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alias_of_a_call_says_its_stage() {
        let cases = [
            ("live", Stage::Prod),
            ("canary", Stage::Prod),
            ("prod", Stage::Prod),
            ("staging", Stage::Staging),
            ("dev", Stage::Dev),
        ];
        for (alias, stage) in cases {
            let alias = alias.parse().expect("an alias");
            assert_eq!((Stage::of(&alias, false), Stage::of(&alias, true)), (stage, Stage::Dev), "{alias}");
        }
    }

    #[test]
    fn every_stage_ends_at_prod() {
        for stage in Stage::ALL {
            let chain: Vec<_> = stage.chain().collect();
            assert_eq!((chain[0], chain[chain.len() - 1]), (stage, Stage::Prod));
            assert_eq!(stage.as_str().parse(), Ok(stage));
        }
        assert!("production".parse::<Stage>().is_err());
    }
}
