//! Aliases: setting and removing them, and pointing them to a deployed version.

use std::sync::Arc;
use std::time::Duration;

use faas_catalog::FunctionEntry;
use faas_runs::route::no_alias;
use faas_types::{
    Affinity, Alias, AliasName, Canary, Code, Deployment, DeploymentKind, Fault, FunctionRecord, Mover, Reason, Split,
    Stage, Timestamp, VersionRecord, limits,
};

use crate::deployments::Deployments;
use crate::note::check_note;

/// The alias that a deployment moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An alias without an end.
    Alias(AliasName),
    /// A preview that ends after this time.
    Preview(AliasName, Duration),
}

/// Where an alias should point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasWish {
    /// The version that takes all calls, or those that the split leaves.
    pub version: u32,
    /// The version that takes a share.
    pub split: Option<Split>,
    /// How callers are kept with a version.
    pub sticky: Option<Affinity>,
    /// Who moves it.
    pub by: Mover,
    /// The reason, for people.
    pub note: Option<String>,
}

/// A move of an alias, for its deployment event.
pub(crate) struct Moved {
    pub(crate) kind: DeploymentKind,
    /// Who moved it.
    pub(crate) by: Mover,
    /// Where it pointed before.
    pub(crate) from: Option<u32>,
    pub(crate) note: Option<String>,
    pub(crate) at: Timestamp,
}

// === impl AliasWish ===

impl AliasWish {
    /// Whether the alias points there already.
    fn is_met_by(&self, alias: &Alias) -> bool {
        (alias.version, alias.split, &alias.sticky) == (self.version, self.split, &self.sticky)
    }
}

// === impl Target ===

impl Target {
    /// The alias that a function's plain URL follows.
    #[must_use]
    pub fn live() -> Self {
        Self::Alias(AliasName::live())
    }

    /// The stage of calls through this alias.
    #[must_use]
    pub fn stage(&self) -> Stage {
        Stage::of(self.alias(), matches!(self, Self::Preview(..)))
    }

    /// The alias's name.
    #[must_use]
    pub fn alias(&self) -> &AliasName {
        match self {
            Self::Alias(name) | Self::Preview(name, _) => name,
        }
    }

    /// Refuses a move that the alias does not allow.
    pub(crate) fn check(&self, record: &FunctionRecord) -> Result<(), Fault> {
        let name = self.alias();
        match (self, record.aliases.get(name)) {
            (Self::Preview(..), _) if *name == AliasName::live() => {
                Err(Fault::new(Code::InvalidConfiguration, "alias: `live` cannot be a preview")
                    .with_hint("give the preview a name of its own, such as the branch's"))
            }
            (Self::Alias(_), Some(alias)) => not_a_preview(name, alias),
            (Self::Preview(..), Some(alias)) if alias.expires_at.is_none() => {
                Err(Fault::new(Reason::AliasKindMismatch, format!("`{name}` is an alias that stays, not a preview"))
                    .with_hint("give the preview another name"))
            }
            (_, Some(_)) => Ok(()),
            (_, None) => room_for_one(record),
        }
    }

    /// Points the alias to a new version, or begins its canary. Returns the kind of deployment, and where the alias pointed
    /// before.
    pub(crate) fn aim(
        &self,
        record: &mut FunctionRecord,
        version: &VersionRecord,
        now: Timestamp,
    ) -> Result<(DeploymentKind, Option<u32>), Fault> {
        self.check(record)?;
        let name = self.alias();
        if *name == AliasName::live()
            && let Some(share) = version.settings.canary.as_ref().and_then(|policy| policy.share(0))
            && let Some(live) = record.aliases.get_mut(name)
        {
            live.split = Some(Split { version: version.number, share });
            live.moved_at = now;
            let from = live.version;
            record.canary = Some(Canary { version: version.number, step: 0, since: now });
            return Ok((DeploymentKind::Canary, Some(from)));
        }
        let from = record.point(name.clone(), version, now);
        if let (Self::Preview(_, keep), Some(alias)) = (self, record.aliases.get_mut(name)) {
            alias.expires_at = Some(now.plus(*keep));
        }
        Ok((DeploymentKind::Deploy, from))
    }
}

fn not_a_preview(name: &AliasName, alias: &Alias) -> Result<(), Fault> {
    if alias.expires_at.is_none() {
        return Ok(());
    }
    Err(Fault::new(Reason::AliasKindMismatch, format!("`{name}` is a preview"))
        .with_hint("remove it first, or choose another name"))
}

fn room_for_one(record: &FunctionRecord) -> Result<(), Fault> {
    if record.aliases.len() < limits::ALIASES_MAX {
        return Ok(());
    }
    let message = format!("`{}` has {} aliases, which is the most", record.name, record.aliases.len());
    Err(Fault::new(Reason::LimitReached, message).with_hint("remove aliases that are not used"))
}

// === impl Deployments ===

impl Deployments {
    /// Points an alias to a version, or to two by weight; creates the alias if it does not exist. Moving `live` ends a canary
    /// that is under way. An alias that already points there stays as it is, without a deployment event.
    ///
    /// # Errors
    /// `FN_013` for an unknown version, `FN_014` for a preview, `FN_007` past the limit of aliases.
    pub async fn set_alias(
        &self,
        entry: &FunctionEntry,
        name: &AliasName,
        wish: AliasWish,
    ) -> Result<Arc<FunctionEntry>, Fault> {
        check_note(wish.note.as_deref())?;
        let version = self.deps.catalog.version(entry, wish.version).await?;
        if let Some(split) = wish.split {
            self.deps.catalog.version(entry, split.version).await?;
        }
        let target = Target::Alias(name.clone());
        self.update(entry, |record| {
            target.check(record)?;
            let ends_canary = *name == AliasName::live() && record.canary.is_some();
            if !ends_canary && record.aliases.get(name).is_some_and(|alias| wish.is_met_by(alias)) {
                return Ok(None);
            }
            let now = record.moment(self.deps.clock.now());
            let from = record.point(name.clone(), &version, now);
            if let Some(alias) = record.aliases.get_mut(name) {
                (alias.split, alias.sticky) = (wish.split, wish.sticky.clone());
            }
            let moved =
                Moved { kind: DeploymentKind::Set, by: wish.by.clone(), from, note: wish.note.clone(), at: now };
            Ok(Some(self.event(record, name, moved)))
        })
        .await
    }

    /// Removes an alias; its versions stay.
    ///
    /// # Errors
    /// `FN_013` for an unknown alias, `FN_006` for `live`, `FN_014` while a trigger calls the function by it.
    pub async fn remove_alias(
        &self,
        entry: &FunctionEntry,
        name: &AliasName,
        by: Mover,
    ) -> Result<Arc<FunctionEntry>, Fault> {
        if *name == AliasName::live() {
            return Err(Fault::new(Code::InvalidConfiguration, "alias: `live` cannot be removed")
                .with_command_hint("move it with `faas aliases set`, or delete the function"));
        }
        let triggers = self.deps.triggers.of(entry.record.id);
        if let Some(trigger) = triggers.iter().find(|trigger| trigger.record.alias == *name) {
            let (function, trigger) = (&entry.record.name, trigger.record.name());
            return Err(Fault::new(Reason::InUse, format!("the trigger `{trigger}` calls `{function}:{name}`"))
                .with_command_hint(format!("remove it first: faas triggers delete {function} {trigger}")));
        }
        self.update(entry, |record| self.drop_alias(record, name, DeploymentKind::Remove, by.clone())).await
    }

    /// Removes an alias from a record, and returns the event to store with it.
    pub(crate) fn drop_alias(
        &self,
        record: &mut FunctionRecord,
        name: &AliasName,
        kind: DeploymentKind,
        by: Mover,
    ) -> Result<Option<Deployment>, Fault> {
        let now = record.moment(self.deps.clock.now());
        let alias = record.aliases.get(name).ok_or_else(|| no_alias(&record.name, name))?;
        let from = Some(alias.version);
        let event = self.event(record, name, Moved { kind, by, from, note: None, at: now });
        record.aliases.remove(name);
        Ok(Some(Deployment { split: None, ..event }))
    }

    /// The event for where an alias points now. Notes in the alias who moved it.
    pub(crate) fn event(&self, record: &mut FunctionRecord, name: &AliasName, moved: Moved) -> Deployment {
        if let Some(alias) = record.aliases.get_mut(name) {
            alias.moved_by = Some(moved.by.clone());
        }
        let pointed = record.aliases.get(name);
        Deployment {
            function_id: Some(record.id),
            from: moved.from,
            to: pointed.map(|alias| alias.version).or(moved.from),
            split: pointed.and_then(|alias| alias.split),
            kind: moved.kind,
            by: Some(moved.by),
            note: moved.note,
            ..Deployment::of(self.deps.ids.mint(moved.at), record.name.clone(), name.clone(), moved.at)
        }
    }
}
