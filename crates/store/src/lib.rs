//! The embedded adapters: SQLite and files below one data directory.
//!
//! ```text
//! DIR/format    the layout's number          DIR/faas.db   registry, queue, runs (fsynced by each commit)
//! DIR/lock      held by one server           DIR/logs.db   log lines (best effort in a power cut)
//! DIR/ballast   room for deletes             DIR/blobs/    files by content hash
//! DIR/secret.keys  what secrets are under    DIR/layers/   sealed directory trees by digest
//! ```
//!
//! What a call acknowledged survives `kill -9` and a power cut, log lines excepted. Damage is found where it is read:
//! blobs are checked against their hash, SQLite checks the structure of each page that it touches and
//! [`Store::check`] that of all. A flipped bit inside a stored value is found in blobs only.

mod blobs;
mod bundle_draft;
mod config;
mod data_dir;
mod error;
mod events;
mod expiry;
mod fsync;
mod history;
mod key_ring;
mod layer_draft;
mod layers;
mod log_filter;
mod logs;
mod queue;
mod registry;
mod run_filter;
mod run_rows;
mod shared;
mod space;
mod sqlite;
mod store;
mod topics;
mod vault;
mod watch_hub;

pub use config::{OnFatal, StoreConfig};
pub use error::StoreError;
pub use store::Store;
