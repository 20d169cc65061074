//! The limits of one sandbox.

use faas_ports::SandboxLimits;
use serde::{Deserialize, Serialize};

/// [`SandboxLimits`] as they travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) memory_bytes: u64,
    pub(crate) cpu_millis: u32,
    /// Length of the period over which the CPU share is enforced.
    pub(crate) cpu_period_us: u64,
    pub(crate) pids: u32,
    pub(crate) tmp_bytes: u64,
    pub(crate) open_files: u64,
}

// === impl Limits ===

impl From<SandboxLimits> for Limits {
    fn from(limits: SandboxLimits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes,
            cpu_millis: limits.cpu_millis,
            cpu_period_us: 100_000,
            pids: limits.pids,
            tmp_bytes: limits.tmp_bytes,
            open_files: limits.open_files,
        }
    }
}
