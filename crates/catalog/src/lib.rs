//! What the server knows of its configuration: functions and versions, keys, vars and secrets, in memory.
//!
//! Each table is a [`Projection`] of a collection of the registry. Reads never wait; changes that this process commits are
//! visible at once, those of others as soon as the registry reports them. What a change means for live instances is carried
//! out by an [`InstanceRefresher`].

mod caller;
mod catalog;
mod fingerprint;
mod function_entry;
mod function_table;
mod functions;
mod instance_refresher;
mod key_record;
mod key_uses;
mod keys;
mod live_policies;
mod network_policies;
mod projection;
mod projects;
mod records;
mod rekeyer;
mod secrets;
mod var_settings;
mod vars;
mod version_cache;

pub use caller::Caller;
pub use catalog::{Catalog, deleted_meanwhile, no_version};
pub use fingerprint::VarsFingerprint;
pub use function_entry::FunctionEntry;
pub use function_table::NameWalk;
pub use functions::{FunctionDeps, Functions, StoredFunction, changed_by_others};
pub use instance_refresher::InstanceRefresher;
pub use key_record::{KeyRecord, KeySettings};
pub use keys::{Keys, MintedKey};
pub use network_policies::{NetworkDeps, NetworkPolicies, NetworkState, PolicyChange};
pub use projection::{ProjectedTable, Projection, ProjectionStatus, STALE_MAX, snapshot};
pub use projects::default_project;
pub use records::{RETRIES, Tombstone, decode, encode, function_key, tombstone_key, version_key};
pub use rekeyer::{Rekeyed, Rekeyer, SealedKind, SealedRecord};
pub use secrets::{SecretDeps, SecretSummary, Secrets};
pub use var_settings::{VarDeps, VarSettings};
pub use vars::{
    EffectiveVar, ProjectVars, ResolvedVars, SecretId, SecretRecord, SecretVersion, VarScope, VarSource, VarStore,
    check_vars, secret_key, stage_vars_key,
};
