//! Vars, of a function at `/functions/{function}/vars` and of a project's stage at `/vars`.

use std::collections::BTreeMap;

use faas_types::Stage;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ListPage;

/// One var.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VarView {
    /// Its name.
    pub key: String,
    /// Its value as it was written: `${secrets.NAME}` stands for a secret.
    pub value: String,
    /// Where it comes from, the weakest first: `project`, `manifest` or `function`.
    pub source: String,
    /// The stage that it was set for, where it was set for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// The secrets that it refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

/// Vars as instances of a stage see them.
pub type VarList = ListPage<VarView>;

/// The value of one var.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetVar {
    /// What instances see; `${secrets.NAME}` stands for a secret.
    pub value: String,
}

/// Vars to set; others stay as they are. New instances see them, present ones are replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetVars {
    /// Names of `A-Z a-z 0-9 _`, not starting with a digit or `FAAS_`, with their values.
    pub vars: BTreeMap<String, String>,
}
