//! Vars and secrets of stages, and what an instance gets of them.

mod check;
mod project_vars;
mod scope;
mod secret_record;
mod store;

pub use check::check_vars;
pub use project_vars::ProjectVars;
pub(crate) use scope::set_secret_hint;
pub use scope::{EffectiveVar, ResolvedVars, VarScope, VarSource};
pub use secret_record::{SecretId, SecretRecord, SecretVersion, secret_key};
pub use store::{VarStore, stage_vars_key};
