//! Functions, their versions and the events that moved their aliases, as the registry keeps them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    AliasName, ByteSize, DeploymentId, Digest, FunctionId, FunctionName, FunctionSettings, ProjectId, RuntimeName,
    Timestamp, VersionId,
};

/// An immutable version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// Its id.
    pub id: VersionId,
    /// The function it belongs to.
    pub function: FunctionId,
    /// From 1 within the function.
    pub number: u32,
    /// The hash of the bundle's file list.
    pub bundle: Digest,
    /// The hash of a longer list: the bundle's files and what its runtime compiled of them, where that was worth keeping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<Digest>,
    /// Files in the bundle.
    pub file_count: u32,
    /// Bytes in the bundle.
    pub size: u64,
    /// What it runs with.
    pub settings: FunctionSettings,
    /// The exact runtime it was checked with, such as `python3.12.1`.
    pub runtime_exact: String,
    /// How many calls an instance takes at once, as the check found.
    pub concurrency: u32,
    /// Whether the handler reads a request's body while it arrives, as the check found.
    #[serde(default)]
    pub streams_bodies: bool,
    /// What the author said of it.
    pub note: Option<String>,
    /// When it was sealed.
    pub created_at: Timestamp,
}

/// A named pointer to a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The version's number.
    pub version: u32,
    /// When it was last moved.
    pub moved_at: Timestamp,
}

/// A function as the registry keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionRecord {
    /// Its id.
    pub id: FunctionId,
    /// The owner.
    pub project: ProjectId,
    /// Its name, unique in the project.
    pub name: FunctionName,
    /// The number of the newest version; 0 before the first.
    pub latest_version: u32,
    /// Where each alias points.
    pub aliases: BTreeMap<AliasName, Alias>,
    /// Instances that the version behind `live` keeps without calls, so that a start need not read every version.
    #[serde(default)]
    pub min_instances: u32,
    /// Runtime and memory of the version behind `live`, so that instances of that kind can be made ready unasked.
    #[serde(default)]
    pub live_kind: Option<(RuntimeName, ByteSize)>,
    /// Vars set through the API; they win over the manifest's.
    pub vars: BTreeMap<String, String>,
    /// Whether the queue holds its accepted runs back.
    #[serde(default)]
    pub paused: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When anything in this record last changed.
    pub updated_at: Timestamp,
}

// === impl FunctionRecord ===

impl FunctionRecord {
    /// When the next event of this function happens: later than the one before, so that events keep their order even
    /// within one millisecond and over a clock that was set back.
    #[must_use]
    pub fn moment(&self, now: Timestamp) -> Timestamp {
        now.max(self.updated_at.plus(std::time::Duration::from_millis(1)))
    }

    /// Points `live` to a version; returns where it pointed before.
    pub fn point_live(&mut self, version: u32, settings: &FunctionSettings, now: Timestamp) -> Option<Alias> {
        self.min_instances = settings.scaling.min;
        self.live_kind = Some((settings.runtime.clone(), settings.memory));
        self.aliases.insert(AliasName::live(), Alias { version, moved_at: now })
    }
}

/// An event that moved an alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// The function.
    pub function: FunctionId,
    /// The alias that moved.
    pub alias: AliasName,
    /// Where it pointed before; `None` for the first.
    pub from: Option<u32>,
    /// Where it points since.
    pub to: u32,
    /// Whether it was a rollback.
    pub rollback: bool,
    /// What the author said.
    pub note: Option<String>,
    /// When it happened.
    pub at: Timestamp,
}
