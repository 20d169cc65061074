//! Collecting what nothing needs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A collection to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GcRequest {
    /// Whether to tell only what would go.
    pub dry_run: bool,
    /// Whether the grace is not waited for: what nothing needs goes at once, but for what an upload, a deployment, a run that
    /// is being stored or an instance relies on.
    pub now: bool,
}

/// What a collection removed, or would remove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GcReportView {
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// Stored files and lists of files.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Trees that were laid out for sandboxes.
    pub layers: u64,
    /// Bytes of their files.
    pub layer_bytes: u64,
    /// Old records of deployment groups.
    pub records: u64,
    /// Stored files and lists that are needed.
    pub needed: u64,
    /// Those that nothing needs, but that were uploaded or asked for within the grace.
    pub young: u64,
    /// How long files stay that nothing needs.
    pub grace: String,
    /// Milliseconds that it took.
    pub took_ms: u64,
}
