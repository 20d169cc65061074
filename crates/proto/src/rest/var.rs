//! Vars of a function, at `/functions/{id}/env`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One var.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VarView {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
    /// `manifest` or `api`; what the API set wins.
    pub source: String,
}

/// The vars that the live version sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VarList {
    /// The rows, by name.
    pub vars: Vec<VarView>,
}

/// Vars to set; others stay as they are. New instances see them, present ones are replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetVars {
    /// Names of `A-Z a-z 0-9 _`, not starting with a digit or `FAAS_`, with their values.
    pub vars: BTreeMap<String, String>,
}
