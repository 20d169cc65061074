//! Vars and secrets of stages, and what an instance gets of them.

mod check;
mod project_vars;
mod scope;
mod secret_record;
mod store;

pub use check::check_vars;
pub use project_vars::ProjectVars;
pub use scope::{EffectiveVar, ResolvedVars, VarScope, VarSource, set_secret_hint};
pub use secret_record::{SecretId, SecretRecord, SecretVersion, secret_place};
pub use store::{VarStore, secret_key, secret_of, stage_vars_key};
