//! Functions, their versions and the events that moved their aliases, as the registry keeps them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Alias, AliasName, ByteSize, Canary, DeploymentId, Digest, FunctionId, FunctionName, FunctionSettings, KeyId,
    ProjectId, RuntimeName, Split, Timestamp, VersionId,
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
    /// The hash of the file list of the packages that were installed for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Digest>,
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
    /// Whose key brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// Whether it was made for a preview. By its number it is then open to holders of a key alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preview: bool,
    /// When it was sealed.
    pub created_at: Timestamp,
}

/// The key that somebody acted with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The key's id.
    pub key: KeyId,
    /// What people called it then.
    pub name: String,
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
    /// The version that is on its way to `live`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
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

    /// Where `live` points.
    #[must_use]
    pub fn live(&self) -> Option<&Alias> {
        self.aliases.get(&AliasName::live())
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
    /// Whether it was a rollback.
    pub rollback: bool,
    /// What the author said.
    pub note: Option<String>,
    /// When it happened.
    pub at: Timestamp,
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
            rollback: kind == DeploymentKind::Rollback,
            note: None,
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
