//! Deployments, and other moves of aliases, as the registry keeps them.

use serde::{Deserialize, Serialize};

use crate::{
    AliasName, DeploymentGroupId, DeploymentId, Fault, FunctionId, FunctionName, LayerId, Mover, Split, Timestamp,
};

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

/// How far a deployment is. Moves of aliases to versions that exist have succeeded from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentState {
    /// It waits for its turn.
    Queued,
    /// Its files are sealed and searched, its packages are installed.
    Building,
    /// Its entrypoint is loaded in a sandbox.
    Checking,
    /// Its alias has moved, or would have in a dry run.
    Succeeded,
    /// Nothing was changed.
    Failed,
    /// Somebody cancelled it. Nothing was changed.
    Cancelled,
}

/// A deployment, from the moment that it was accepted, or another move of an alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// The function's name.
    pub function: FunctionName,
    /// The function; `None` while a deployment that is to make it has not succeeded.
    pub function_id: Option<FunctionId>,
    /// What moved the alias, or is to move it.
    pub kind: DeploymentKind,
    /// How far it is.
    pub state: DeploymentState,
    /// Whether all is done but the move.
    pub dry_run: bool,
    /// The alias.
    pub alias: AliasName,
    /// Where it pointed before; `None` for the first.
    pub from: Option<u32>,
    /// Where it points since; where it pointed last, when it is gone; `None` when nothing moved.
    pub to: Option<u32>,
    /// The second version and its share since.
    pub split: Option<Split>,
    /// When the alias ends, for a preview.
    pub expires_at: Option<Timestamp>,
    /// Who asked for it.
    pub by: Option<Mover>,
    /// What the author said.
    pub note: Option<String>,
    /// The deployment group that it is part of.
    pub group: Option<DeploymentGroupId>,
    /// Milliseconds that the entrypoint took to load.
    pub check_ms: Option<u64>,
    /// The packages of its version, where its files ask for some.
    pub packages: Option<VersionPackages>,
    /// Why it failed or was cancelled.
    pub problem: Option<Fault>,
    /// The request that asked for it.
    pub request_id: Option<String>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// The packages that a deployment found or installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionPackages {
    /// Their layer; `None` when nothing was installed.
    pub layer: Option<LayerId>,
    /// Whether the layer existed before.
    pub reused: bool,
    /// How many they are.
    pub count: u32,
    /// Their bytes.
    pub size: u64,
    /// Milliseconds that it took to get them.
    pub took_ms: u64,
    /// The file that asks for them.
    pub source: Option<String>,
    /// A remark for the author.
    pub note: Option<String>,
}

/// A deployment group: functions whose `live` moves in one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentGroup {
    /// Its id, which each of their deployments names.
    pub id: DeploymentGroupId,
    /// Whether versions are deployed, or it goes back.
    pub kind: DeploymentKind,
    /// How far it is.
    pub state: DeploymentState,
    /// Whether all is done but the move.
    pub dry_run: bool,
    /// The functions.
    pub members: Vec<GroupMember>,
    /// Functions that a rollback could not move, and why.
    pub unmoved: Vec<(FunctionName, String)>,
    /// Who asked for it.
    pub by: Option<Mover>,
    /// What the author said.
    pub note: Option<String>,
    /// Why it failed or was cancelled.
    pub problem: Option<Fault>,
    /// The request that asked for it.
    pub request_id: Option<String>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// A function of a deployment group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// Its deployment.
    pub deployment: DeploymentId,
    /// Its name.
    pub name: FunctionName,
    /// The function; `None` while the deployment that is to make it has not succeeded.
    pub function: Option<FunctionId>,
    /// Where `live` pointed before; `None` for the first version.
    pub from: Option<u32>,
    /// Where it points since; `None` when nothing moved.
    pub to: Option<u32>,
}

// === impl DeploymentState ===

impl DeploymentState {
    /// Whether it stays so.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The state as the API names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Building => "building",
            Self::Checking => "checking",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl std::str::FromStr for DeploymentState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Queued, Self::Building, Self::Checking, Self::Succeeded, Self::Failed, Self::Cancelled];
        all.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            format!("`{text}` is no state; states are queued, building, checking, succeeded, failed and cancelled")
        })
    }
}

// === impl Deployment ===

impl Deployment {
    /// A deployment of this moment that has done nothing yet, though it counts as succeeded.
    #[must_use]
    pub fn of(id: DeploymentId, function: FunctionName, alias: AliasName, at: Timestamp) -> Self {
        Self {
            id,
            function,
            function_id: None,
            kind: DeploymentKind::Deploy,
            state: DeploymentState::Succeeded,
            dry_run: false,
            alias,
            from: None,
            to: None,
            split: None,
            expires_at: None,
            by: None,
            note: None,
            group: None,
            check_ms: None,
            packages: None,
            problem: None,
            request_id: None,
            created_at: at,
            finished_at: Some(at),
        }
    }

    /// The versions to which `live` may go back, the best first: those that took every call of `live` once, the latest
    /// first, without the present one and without any that went badly since it last came. A version went badly when it was
    /// rolled back from, or when its trial was broken off, by its policy or by somebody. `events` are a function's.
    #[must_use]
    pub fn ways_back(events: &[Self], live: u32) -> Vec<u32> {
        let (mut served, mut bad) = (Vec::new(), Vec::new());
        let mut tried = None;
        let is_move = |event: &&Self| event.alias == AliasName::live() && event.state == DeploymentState::Succeeded;
        let mut moves: Vec<&Self> = events.iter().filter(is_move).collect();
        // A deployment moves its alias when it ends; others may have moved it since it was accepted.
        moves.sort_by_key(|event| event.finished_at);
        for event in moves {
            // A dry run moved nothing.
            let Some(to) = event.to else { continue };
            match event.kind {
                DeploymentKind::Breach | DeploymentKind::Abort => bad.extend(tried),
                DeploymentKind::Rollback => bad.extend(event.from),
                _ => bad.retain(|version| *version != to),
            }
            tried = event.split.map(|split| split.version);
            served.retain(|version| *version != to);
            served.push(to);
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
            from: (from > 0).then_some(from),
            to: Some(to),
            split: tried.map(|version| Split { version, share }),
            kind,
            ..Deployment::of(
                DeploymentId::from_u128(1),
                "shop".parse().expect("a name"),
                AliasName::live(),
                Timestamp::from_millis(0),
            )
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
