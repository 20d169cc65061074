//! Files of versions and layers: sealed, laid out on this machine, and leased to uploads.
//!
//! Bytes are stored once, under their hash. A [`Bundle`](faas_types::Bundle) lists files; sealing stores that list and lays
//! the files out as a read-only tree named by the list's hash. A tree that is gone is laid out again from the list.

mod bundle_store;
mod bytecode_cache;
mod diff;
mod layer_stack;
mod stack_spec;
mod upload_leases;
mod version_files;

pub use bundle_store::BundleStore;
pub use diff::{FileChange, FileChangeKind};
pub use stack_spec::StackSpec;
pub use upload_leases::UploadLeases;
