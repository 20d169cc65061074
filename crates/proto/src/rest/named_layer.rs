//! Layers that people name, in immutable versions.

use std::collections::BTreeMap;

use faas_types::InstalledPackage;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ActorView, BundleFileBody, ListPage};

/// A version of a named layer to publish. The bytes of its files must have been uploaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishLayer {
    /// Its files; where packages are installed, the files that ask for them.
    pub files: Vec<BundleFileBody>,
    /// The runtimes that it is for, such as `python3.12`, or `python` for any version; absent for any runtime.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 16)]
    pub runtimes: Vec<String>,
    /// Whether its content is the packages that the files ask for, rather than the files. Needs one runtime with its version.
    #[serde(default)]
    pub install: bool,
    /// What changed, for people.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub note: Option<String>,
    /// What looks like a secret in its files and is none, such as `tests/keys.py:jwt`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub allow_secrets: Vec<String>,
}

/// A version of a named layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerVersionView {
    /// The layer's name.
    pub name: String,
    /// From 1 within the layer.
    pub version: u32,
    /// As a manifest names it, such as `shared-utils:3`.
    pub reference: String,
    /// The runtimes that it is for; empty for any.
    pub runtimes: Vec<String>,
    /// The hash of its file list.
    pub digest: String,
    /// Files in it.
    pub files: u32,
    /// Bytes in it.
    pub size: u64,
    /// What takes most room in it, the largest first: packages where it was installed, else the files and directories of its
    /// root.
    pub heaviest: Vec<InstalledPackage>,
    /// The versions of functions that stand on it.
    pub used_by: BTreeMap<String, Vec<u32>>,
    /// What the author said of it.
    pub note: Option<String>,
    /// Whose key brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<ActorView>,
    /// When it was published.
    pub created_at: String,
}

/// The versions of a named layer.
pub type LayerVersionList = ListPage<LayerVersionView>;

/// A named layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerView {
    /// Its name.
    pub name: String,
    /// The number of its newest version.
    pub newest: u32,
    /// How many versions there are.
    pub versions: u32,
    /// Bytes of all of them.
    pub size: u64,
    /// Bytes of the newest.
    pub newest_size: u64,
    /// The runtimes that the newest is for; empty for any.
    pub runtimes: Vec<String>,
    /// What takes most room in the newest: three at the most.
    pub heaviest: Vec<InstalledPackage>,
    /// The functions that stand on any version of it.
    pub used_by: Vec<String>,
    /// When the newest was published.
    pub created_at: String,
}

/// The named layers of a project.
pub type LayerList = ListPage<LayerView>;

/// The versions that were removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemovedLayer {
    /// Their numbers.
    pub versions: Vec<u32>,
}
