//! What uploads are refused for.

use faas_types::PreflightRules;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ActorView;

/// The rules that hold for uploads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// The server's, which hold in any case.
    pub operator: PreflightRules,
    /// The project's on top of them; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectPolicyView>,
}

/// The rules of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectPolicyView {
    /// The rules.
    pub rules: PreflightRules,
    /// Whose key set them.
    pub actor: ActorView,
    /// When.
    pub set_at: String,
    /// Which setting this is; every change has another.
    pub revision: u64,
}

/// The rules of a project from now on. Replaces those before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPolicy {
    /// The rules.
    pub rules: PreflightRules,
    /// The revision that they replace, 0 for none; without it, whatever is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}
