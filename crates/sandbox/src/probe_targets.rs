//! What the probe of this machine tries to reach from inside a sandbox.

use std::path::PathBuf;

use faas_types::Feature;
use serde::{Deserialize, Serialize};

/// What the probe must not reach.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ProbeTargets {
    /// The host's namespaces as the links in `/proc/self/ns` show them, by name.
    pub(crate) namespaces: Vec<(String, PathBuf)>,
    /// A file that exists on the host.
    pub(crate) host_file: PathBuf,
    /// A process that exists on the host.
    pub(crate) host_pid: i32,
    /// The server's user.
    pub(crate) user: u32,
    /// What to try.
    pub(crate) features: Vec<Feature>,
}
