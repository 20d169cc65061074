//! What a run runs.

use serde::{Deserialize, Serialize};

use crate::{FunctionId, FunctionName};

/// What a run runs. Stored with its kind, so that there can be others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunSubject {
    /// A function, at one of its versions.
    Function(FunctionVersion),
}

/// A function at a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionVersion {
    /// The function.
    pub id: FunctionId,
    /// Its name at that time.
    pub name: FunctionName,
    /// The number of the version within the function.
    pub version: u32,
}
