//! Layers of installed packages.

use std::collections::BTreeMap;

use faas_types::InstalledPackage;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ListPage;

/// A layer of packages, shared by the functions that ask for the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PackageLayerView {
    /// Its id.
    pub id: String,
    /// The runtime that it is for.
    pub runtime: String,
    /// Where the packages were asked for, such as `requirements.txt`.
    pub source: String,
    /// Files in it.
    pub files: u32,
    /// Bytes in it.
    pub size: u64,
    /// Packages in it.
    pub package_count: u32,
    /// The packages, the largest first; of a layer in a list only three.
    pub packages: Vec<InstalledPackage>,
    /// The versions that stand on it, by function.
    pub used_by: BTreeMap<String, Vec<u32>>,
    /// When it was built.
    pub built_at: String,
    /// Milliseconds that this took.
    pub took_ms: u64,
    /// The last lines that the installer wrote; of a layer in a list none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// The layers of a project.
pub type PackageLayerList = ListPage<PackageLayerView>;
