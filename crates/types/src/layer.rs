//! Layers of installed packages, as the registry keeps them.

use serde::{Deserialize, Serialize};

use crate::{Author, Digest, LayerId, LayerName, RuntimeName, Timestamp};

/// Packages installed for a runtime, shared by the functions that depend on the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Its id: the first 16 bytes of the hash of all that it was built from. Says nothing of its age.
    pub id: LayerId,
    /// The hash of its file list.
    pub bundle: Digest,
    /// The runtime that it is for.
    pub runtime: RuntimeName,
    /// Where the packages were asked for, such as `requirements.txt`.
    pub source: String,
    /// Files in it.
    pub files: u32,
    /// Bytes in it.
    pub size: u64,
    /// What is in it, the largest first.
    pub packages: Vec<InstalledPackage>,
    /// When it was built.
    pub built_at: Timestamp,
    /// How long that took.
    pub took_ms: u64,
    /// The last lines that the installer wrote.
    pub log: Vec<String>,
    /// Packages whose install scripts did not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped_install_scripts: Vec<String>,
}

/// A layer that somebody named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedLayerRecord {
    /// Its name.
    pub name: LayerName,
    /// The newest version that it ever had: a number is given once.
    pub latest: u32,
}

/// An immutable version of a named layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerVersionRecord {
    /// The layer's name.
    pub name: LayerName,
    /// From 1 within the layer.
    pub number: u32,
    /// The hash of its file list.
    pub bundle: Digest,
    /// The runtimes that it is for; empty for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runtimes: Vec<RuntimeName>,
    /// The architecture that its packages were installed for; absent for files that its author brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Files in it.
    pub files: u32,
    /// Bytes in it.
    pub size: u64,
    /// What takes most room in it, the largest first: packages where it was installed, else the files and directories of
    /// its root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<InstalledPackage>,
    /// What the author said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whose key brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// When it was published.
    pub created_at: Timestamp,
}

/// A package, as it says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InstalledPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Bytes of its files.
    pub size: u64,
}

/// Whether the packages that a function's files ask for are installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DependencyMode {
    /// Unless packages lie beside the code already.
    #[default]
    Auto,
    /// In any case.
    Install,
    /// Not at all.
    None,
}
