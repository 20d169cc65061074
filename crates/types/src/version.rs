//! Functions, their versions and the events that moved their aliases, as the registry keeps them.

use std::collections::BTreeMap;

use litemap::LiteMap;
use serde::{Deserialize, Serialize};

use crate::{
    Alias, AliasName, Author, ByteSize, Canary, Declaration, DeploymentId, Digest, FunctionId, FunctionName,
    FunctionSettings, LogLevel, LogStream, Mover, PolicyOverride, ProjectId, RuntimeName, Split, Stage, Timestamp,
    VersionId,
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

/// What moved an alias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentKind {
    /// A version was deployed to it.
    #[default]
    Deploy,
    /// Somebody went back to an earlier version.
    Rollback,
    /// Somebody set it.
    Set,
    /// Somebody removed it.
    Remove,
    /// A preview's time was over.
    Expire,
    /// A new version got its first share.
    Canary,
    /// It got a larger share.
    Step,
    /// It took over.
    Promote,
    /// Somebody ended its trial.
    Abort,
    /// It broke its policy and went by itself.
    Breach,
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
    /// Where it points since; where it pointed last, when it is gone.
    pub to: u32,
    /// The second version and its share since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// What moved it.
    #[serde(default)]
    pub kind: DeploymentKind,
    /// Who moved it; absent for events of servers that did not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Mover>,
    /// Whether it was a rollback.
    pub rollback: bool,
    /// What the author said.
    pub note: Option<String>,
    /// The deployment group that it was part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<DeploymentId>,
    /// When it happened.
    pub at: Timestamp,
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

/// A deployment group: functions whose `live` moved in one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentGroup {
    /// Its id, which each of their deployments names.
    pub id: DeploymentId,
    /// The functions.
    pub members: Vec<GroupMember>,
    /// Whether it was a rollback.
    pub rollback: bool,
    /// What the author said.
    pub note: Option<String>,
    /// When it happened.
    pub at: Timestamp,
}

/// A function of a deployment group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// The function.
    pub function: FunctionId,
    /// Its name.
    pub name: FunctionName,
    /// Where `live` pointed before; `None` for the first version.
    pub from: Option<u32>,
    /// Where it points since.
    pub to: u32,
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

// === impl Deployment ===

impl Deployment {
    /// The versions to which `live` may go back, the best first: those that took every call of `live` once, the latest
    /// first, without the present one and without any that went badly since it last came. A version went badly when it was
    /// rolled back from, or when its trial was broken off, by its policy or by somebody. `events` are a function's, oldest
    /// first.
    #[must_use]
    pub fn ways_back(events: &[Self], live: u32) -> Vec<u32> {
        let (mut served, mut bad) = (Vec::new(), Vec::new());
        let mut tried = None;
        for event in events.iter().filter(|event| event.alias == AliasName::live()) {
            match event.kind {
                DeploymentKind::Breach | DeploymentKind::Abort => bad.extend(tried),
                DeploymentKind::Rollback => bad.extend(event.from),
                _ if event.rollback => bad.extend(event.from),
                _ => bad.retain(|version| *version != event.to),
            }
            tried = event.split.map(|split| split.version);
            served.retain(|version| *version != event.to);
            served.push(event.to);
        }
        served.into_iter().rev().filter(|version| *version != live && !bad.contains(version)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Permille;

    fn event(kind: DeploymentKind, from: u32, to: u32, tried: Option<u32>) -> Deployment {
        let share = Permille::new(100).expect("a share");
        Deployment {
            id: DeploymentId::from_u128(1),
            function: FunctionId::from_u128(1),
            alias: AliasName::live(),
            from: (from > 0).then_some(from),
            to,
            split: tried.map(|version| Split { version, share }),
            kind,
            by: None,
            rollback: kind == DeploymentKind::Rollback,
            note: None,
            group: None,
            at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn a_rollback_goes_to_what_was_good() {
        use DeploymentKind::{Abort, Breach, Canary, Deploy, Promote, Rollback, Step};
        let mut events = vec![event(Deploy, 0, 1, None), event(Deploy, 1, 2, None), event(Deploy, 2, 3, None)];
        assert_eq!(Deployment::ways_back(&events, 3), [2, 1]);
        events.push(event(Rollback, 3, 2, None));
        assert_eq!(Deployment::ways_back(&events, 2), [1], "three was left for a reason");
        events.extend([event(Canary, 2, 2, Some(4)), event(Step, 2, 2, Some(4)), event(Breach, 2, 2, None)]);
        assert_eq!(Deployment::ways_back(&events, 2), [1], "four never took over");
        events.extend([event(Canary, 2, 2, Some(5)), event(Promote, 2, 5, None)]);
        assert_eq!(Deployment::ways_back(&events, 5), [2, 1]);
        // Five tried again and broken off is no way back, though it served once.
        events.extend([event(Deploy, 5, 6, None), event(Canary, 6, 6, Some(5)), event(Abort, 6, 6, None)]);
        assert_eq!(Deployment::ways_back(&events, 6), [2, 1]);
        events.push(event(Deploy, 6, 3, None));
        assert_eq!(Deployment::ways_back(&events, 3), [6, 2, 1], "deployed again it counts as good again");
    }

    #[test]
    fn other_aliases_are_no_way_back() {
        let other = Deployment { alias: "dev".parse().expect("a name"), ..event(DeploymentKind::Deploy, 0, 9, None) };
        assert!(Deployment::ways_back(&[other, event(DeploymentKind::Deploy, 0, 1, None)], 1).is_empty());
    }
}
