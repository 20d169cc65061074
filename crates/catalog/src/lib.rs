//! What the server knows of its configuration: functions and versions, keys, vars and secrets, in memory.
//!
//! Each table is a [`Projection`] of a collection of the registry. Reads never wait; changes that this process commits are
//! visible at once, those of others as soon as the registry reports them.

mod catalog;
mod fingerprint;
mod function_entry;
mod function_table;
mod keys;
mod live_policies;
mod projection;
mod projects;
mod records;
mod vars;
mod version_cache;

pub use catalog::{Catalog, deleted_meanwhile, no_version};
pub use fingerprint::VarsFingerprint;
pub use function_entry::FunctionEntry;
pub use keys::{Caller, KeyRecord, Keys, MintedKey};
pub use projection::{ProjectedTable, Projection, ProjectionStatus, STALE_MAX, snapshot};
pub use projects::default_project;
pub use records::{RETRIES, decode, encode, function_key, version_key};
pub use vars::{
    EffectiveVar, ProjectVars, ResolvedVars, SecretId, SecretRecord, SecretVersion, VarScope, VarSource, VarStore,
    check_vars, secret_key, secret_of, secret_place, set_secret_hint, stage_vars_key,
};
