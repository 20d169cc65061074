//! Functions and their versions, as the registry keeps them.

use std::collections::BTreeMap;

use litemap::LiteMap;
use serde::{Deserialize, Serialize};

use crate::{
    Alias, AliasName, Author, ByteSize, Canary, Declaration, Digest, Fault, FunctionId, FunctionName, FunctionSettings,
    LogLevel, LogStream, PolicyOverride, ProjectId, RuntimeName, Stage, Timestamp, VersionId, limits,
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
    /// The architecture of the machine that it was checked on. What was compiled or installed for it is of that one.
    pub arch: String,
    /// The hash of a longer list: the bundle's files and what its runtime compiled of them, where that was worth keeping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiled: Option<Digest>,
    /// The hash of the file list of the packages that were installed for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Digest>,
    /// The hashes of the file lists of the named layers that its settings ask for, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Digest>,
    /// Files in the bundle.
    pub file_count: u32,
    /// Bytes in the bundle.
    pub size: u64,
    /// What it runs with.
    pub settings: FunctionSettings,
    /// What its manifest says besides, and where each key came from; absent for versions of servers that did not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declaration: Option<Declaration>,
    /// The exact runtime it was checked with, such as `python3.12.1`.
    pub runtime_exact: String,
    /// How many calls an instance takes at once, as the check found.
    pub concurrency: u32,
    /// Whether the handler reads a request's body while it arrives, as the check found.
    #[serde(default)]
    pub streams_bodies: bool,
    /// What the author said of it.
    pub note: Option<String>,
    /// Whose key brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// Whether it was made for a preview. By its number it is then open to holders of a key alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preview: bool,
    /// The hash of what it wrote while it was checked, a [`BuildLog`]; absent when it wrote nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_log: Option<Digest>,
    /// When it was sealed.
    pub created_at: Timestamp,
}

/// Aliases by name. A server keeps those of all functions in memory, and most functions have one: a node of a B-tree, with
/// places for eleven, would be most of what a function takes there.
pub type Aliases = LiteMap<AliasName, Alias>;

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
    pub aliases: Aliases,
    /// Instances that the version behind `live` keeps without calls, so that a start need not read every version.
    #[serde(default)]
    pub min_instances: u32,
    /// Runtime and memory of the version behind `live`, so that instances of that kind can be made ready unasked.
    #[serde(default)]
    pub live_kind: Option<(RuntimeName, ByteSize)>,
    /// The version that is on its way to `live`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// Vars set through the API for `prod`; they win over the manifest's, and other stages inherit them.
    pub vars: BTreeMap<String, String>,
    /// Vars set through the API for other stages.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stage_vars: BTreeMap<Stage, BTreeMap<String, String>>,
    /// Whether the queue holds its accepted runs back.
    #[serde(default)]
    pub paused: bool,
    /// What it is for, in the words of its owners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What its owners sort it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What it may connect to, where that was set by hand: for every version, in place of their manifests' words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Box<PolicyOverride>>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When anything in this record last changed.
    pub updated_at: Timestamp,
}

// === impl FunctionRecord ===

impl FunctionRecord {
    /// A function without a version.
    #[must_use]
    pub fn new(id: FunctionId, project: ProjectId, name: FunctionName, created_at: Timestamp) -> Self {
        Self {
            id,
            project,
            name,
            latest_version: 0,
            aliases: Aliases::new(),
            min_instances: 0,
            live_kind: None,
            canary: None,
            vars: BTreeMap::new(),
            stage_vars: BTreeMap::new(),
            paused: false,
            description: None,
            labels: BTreeMap::new(),
            egress: None,
            created_at,
            updated_at: created_at,
        }
    }

    /// Refuses a description or labels that are too long or too many.
    ///
    /// # Errors
    /// `FN_006` naming the field.
    pub fn check_words(&self) -> Result<(), Fault> {
        let refuse = |message: String| Err(Fault::of_field(message));
        let (description, label) = (limits::DESCRIPTION_MAX, limits::LABEL_MAX);
        if self.description.as_ref().is_some_and(|text| text.chars().count() > description) {
            return refuse(format!("description: at most {description} characters"));
        }
        if self.labels.len() > limits::LABELS_MAX {
            return refuse(format!("labels: at most {}", limits::LABELS_MAX));
        }
        for (key, value) in &self.labels {
            if key.is_empty() || key.chars().any(char::is_control) || key.chars().count() > label {
                return refuse(format!("labels: a name has 1 to {label} characters"));
            }
            if value.chars().count() > label {
                return refuse(format!("labels.{key}: at most {label} characters"));
            }
        }
        Ok(())
    }

    /// When the next event of this function happens: later than the one before, so that events keep their order even
    /// within one millisecond and over a clock that was set back.
    #[must_use]
    pub fn moment(&self, now: Timestamp) -> Timestamp {
        now.max(self.updated_at.plus(std::time::Duration::from_millis(1)))
    }

    /// The vars that were set through the API for a stage itself.
    #[must_use]
    pub fn vars_of(&self, stage: Stage) -> Option<&BTreeMap<String, String>> {
        match stage {
            Stage::Prod => Some(&self.vars),
            Stage::Dev | Stage::Staging => self.stage_vars.get(&stage),
        }
    }

    /// The same to change.
    pub fn vars_of_mut(&mut self, stage: Stage) -> &mut BTreeMap<String, String> {
        match stage {
            Stage::Prod => &mut self.vars,
            Stage::Dev | Stage::Staging => self.stage_vars.entry(stage).or_default(),
        }
    }

    /// The stage of calls that come by an alias.
    #[must_use]
    pub fn stage_of(&self, name: &AliasName) -> Stage {
        Stage::of(name, self.aliases.get(name).is_some_and(|alias| alias.expires_at.is_some()))
    }

    /// Every version that an alias sends calls to, with their stage.
    pub fn pointed(&self) -> impl Iterator<Item = (Stage, u32)> {
        self.aliases.iter().flat_map(|(name, alias)| {
            let second = alias.split.map(|split| split.version);
            second.into_iter().chain([alias.version]).map(|version| (self.stage_of(name), version))
        })
    }

    /// Whether an alias of this stage sends calls to this version.
    #[must_use]
    pub fn is_in(&self, stage: Stage, version: u32) -> bool {
        self.pointed().any(|pointed| pointed == (stage, version))
    }

    /// Where `live` points.
    #[must_use]
    pub fn live(&self) -> Option<&Alias> {
        self.aliases.get_by(|name| name.as_str().cmp(AliasName::LIVE))
    }

    /// Whether an alias sends calls to this version.
    #[must_use]
    pub fn reaches(&self, version: u32) -> bool {
        self.aliases.values().any(|alias| alias.reaches(version))
    }

    /// Points an alias to one version for every call; returns where it pointed before. Whatever keeps its callers stays.
    pub fn point(&mut self, name: AliasName, version: &VersionRecord, now: Timestamp) -> Option<u32> {
        if name == AliasName::live() {
            self.min_instances = version.settings.scaling.min;
            self.live_kind = Some((version.settings.runtime.clone(), version.settings.memory));
            self.canary = None;
        }
        let before = self.aliases.remove(&name);
        let sticky = before.as_ref().and_then(|alias| alias.sticky.clone());
        self.aliases.insert(name, Alias { sticky, ..Alias::to(version.number, now) });
        before.map(|alias| alias.version)
    }
}

/// What a function wrote while its version was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildLog {
    /// The lines, oldest first.
    pub lines: Vec<BuildLine>,
    /// Lines that were not kept because there were too many.
    pub dropped: u64,
}

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildLine {
    /// When.
    pub at: Timestamp,
    /// How important.
    pub level: LogLevel,
    /// Where from.
    pub stream: LogStream,
    /// The text without its line end.
    pub message: String,
}

// === impl BuildLog ===

impl BuildLog {
    /// This log with another behind it.
    #[must_use]
    pub fn followed_by(mut self, next: Self) -> Self {
        self.lines.extend(next.lines);
        self.dropped += next.dropped;
        self
    }
}
