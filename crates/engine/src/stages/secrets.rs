//! Secrets: set, listed without their values, restored, unset.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use faas_ports::{Change, Entry, Expect, PortError, PortResult, Secret, SecretPlace, Vault, Write};
use faas_types::{Code, Fault, ProjectId, SecretName, Stage, Timestamp, limits};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::book::secret_key;
use super::effective::set_it;
use crate::catalog::decode;
use crate::core::{Core, encode};
use crate::engine::Engine;
use crate::functions::RETRIES;

/// Users that a message names.
const NAMED_MAX: usize = 10;

/// A secret as the registry keeps it. The disk holds nothing of its values in the clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    /// Counts the values that there were; the newest is of this number.
    pub made: u64,
    /// Values that are kept, the newest first.
    pub versions: Vec<SecretVersion>,
    /// When it was first set.
    pub created_at: Timestamp,
    /// When its newest value was set.
    pub updated_at: Timestamp,
}

/// One value of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVersion {
    /// Its number, from 1.
    pub number: u64,
    /// The value, sealed and in base64.
    pub sealed: String,
    /// When it was set.
    pub made_at: Timestamp,
    /// The earlier version whose value it has, where it was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<u64>,
}

/// What is told of a secret.
#[derive(Clone, Debug)]
pub struct SecretView {
    /// Its name.
    pub name: SecretName,
    /// The stage that has it.
    pub stage: Stage,
    /// Its record; the values in it are sealed.
    pub record: Arc<SecretRecord>,
    /// The functions that refer to it in a stage that sees it; `None` where that was not looked for.
    pub used_by: Option<BTreeSet<String>>,
}

/// Whose secret it is.
#[derive(Clone, Copy)]
struct Whose<'a> {
    project: ProjectId,
    stage: Stage,
    name: &'a SecretName,
}

// === impl SecretRecord ===

impl SecretRecord {
    fn empty(now: Timestamp) -> Self {
        Self { made: 0, versions: Vec::new(), created_at: now, updated_at: now }
    }

    /// A value in the clear.
    pub(super) fn open(
        &self,
        vault: &dyn Vault,
        project: ProjectId,
        stage: Stage,
        name: &SecretName,
        number: u64,
    ) -> PortResult<Zeroizing<String>> {
        let corrupt = || PortError::Corrupt { what: format!("the secret `{name}` of stage {stage}") };
        let version = self.versions.iter().find(|version| version.number == number).ok_or_else(corrupt)?;
        let sealed = BASE64_STANDARD.decode(&version.sealed).map_err(|_| corrupt())?;
        let opened = vault.open(&secret_place(project, stage, name, number), &sealed)?;
        let text = std::str::from_utf8(opened.reveal()).map_err(|_| corrupt())?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    fn add(&mut self, whose: Whose<'_>, vault: &dyn Vault, value: &Secret, now: Timestamp) -> PortResult<()> {
        let number = self.made + 1;
        let sealed = vault.seal(&secret_place(whose.project, whose.stage, whose.name, number), value)?;
        let sealed = BASE64_STANDARD.encode(sealed);
        self.versions.insert(0, SecretVersion { number, sealed, made_at: now, restored_from: None });
        self.versions.truncate(limits::SECRET_VERSIONS_MAX);
        (self.made, self.updated_at) = (number, now);
        Ok(())
    }
}

/// What a value is sealed for.
pub(super) fn secret_place(project: ProjectId, stage: Stage, name: &SecretName, number: u64) -> SecretPlace {
    SecretPlace { project, name: format!("secrets/{stage}/{name}"), version: number }
}

fn check_value(name: &SecretName, value: &Secret) -> Result<(), Fault> {
    let refuse = |why: String| Err(Fault::new(Code::InvalidConfiguration, format!("secret `{name}`: {why}")));
    let bytes = value.reveal();
    if bytes.is_empty() {
        return refuse("the value is empty".into());
    }
    if bytes.len() > limits::SECRET_VALUE_MAX {
        return refuse(format!("the value has {} bytes, more than {}", bytes.len(), limits::SECRET_VALUE_MAX));
    }
    if bytes.contains(&0) || std::str::from_utf8(bytes).is_err() {
        return refuse("a value is text without NUL; encode other bytes, in base64 for one".into());
    }
    Ok(())
}

// === impl Engine ===

impl Engine {
    /// Gives a secret another value, or makes it. Instances that use it are replaced; calls under way end as they began.
    ///
    /// # Errors
    /// `FN_006` for a value that cannot be one, `FN_007` past the limit of secrets.
    pub async fn set_secret(
        &self,
        project: ProjectId,
        stage: Stage,
        name: &SecretName,
        value: Secret,
    ) -> Result<SecretView, Fault> {
        check_value(name, &value)?;
        let whose = Whose { project, stage, name };
        let vault = Arc::clone(&self.core.vault);
        self.change_secret(whose, |record, now| {
            let mut record = record.unwrap_or_else(|| SecretRecord::empty(now));
            record.add(whose, &*vault, &value, now)?;
            Ok(record)
        })
        .await
    }

    /// Gives a secret an earlier value again, as a version of its own.
    ///
    /// # Errors
    /// `FN_013` when there is no such secret or that version is not kept, `FN_029` when it does not open.
    pub async fn restore_secret(
        &self,
        project: ProjectId,
        stage: Stage,
        name: &SecretName,
        number: u64,
    ) -> Result<SecretView, Fault> {
        let whose = Whose { project, stage, name };
        let vault = Arc::clone(&self.core.vault);
        self.change_secret(whose, |record, now| {
            let mut record = record.ok_or_else(|| no_secret(name, stage))?;
            if !record.versions.iter().any(|version| version.number == number) {
                return Err(Fault::new(Code::NotFound, format!("version {number} of secret `{name}` is not kept"))
                    .with_hint(format!("its versions are listed by `faas secrets versions {name}`")));
            }
            let value = record.open(&*vault, project, stage, name, number).map_err(|error| match error {
                PortError::Corrupt { what } => Fault::new(Code::SecretUnusable, format!("{what} does not open")),
                other => other.into(),
            })?;
            record.add(whose, &*vault, &Secret::new(value.as_bytes().to_vec()), now)?;
            record.versions[0].restored_from = Some(number);
            Ok(record)
        })
        .await
    }

    /// Forgets a secret with all its versions.
    ///
    /// # Errors
    /// `FN_013` when the stage has none of that name, `FN_014` naming the functions that would lack it, unless forced.
    pub async fn unset_secret(
        &self,
        project: ProjectId,
        stage: Stage,
        name: &SecretName,
        force: bool,
    ) -> Result<(), Fault> {
        if self.core.stages.of(project).own_secret(stage, name).is_none() {
            let of = if stage.is_default() { String::new() } else { format!(" --stage {stage}") };
            return Err(no_secret(name, stage).with_hint(format!("list them with: faas secrets list{of}")));
        }
        let is_inherited = stage.parent().is_some_and(|parent| {
            let stages = self.core.stages.of(project);
            stages.secret(parent, name).is_some()
        });
        if !force && !is_inherited {
            let users = self.secret_users(project, stage, name).await?;
            if !users.is_empty() {
                return Err(in_use(name, stage, &users));
            }
        }
        let key = secret_key(project, stage, name);
        let revision = self.core.registry.commit(vec![Write::Delete { key: key.clone(), expect: Expect::Any }]).await?;
        self.core.stages.apply(&Change::Deleted { key, revision });
        self.core.refresh(project).await;
        Ok(())
    }

    /// The secrets that a stage sees, its own and inherited ones, by name; of every stage where none is given.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn secrets(&self, project: ProjectId, stage: Option<Stage>) -> Result<Vec<SecretView>, Fault> {
        let stages = self.core.stages.of(project);
        let mut usage = self.secret_usage(project).await?;
        let is_seen = |owner: Stage, name: &SecretName| match stage {
            Some(stage) => stages.secret(stage, name).is_some_and(|(seen, _)| seen == owner),
            None => true,
        };
        let mut views: Vec<SecretView> = stages
            .secrets()
            .filter(|(owner, name, _)| is_seen(*owner, name))
            .map(|(owner, name, record)| SecretView {
                name: name.clone(),
                stage: owner,
                record: Arc::clone(record),
                used_by: Some(usage.remove(&(owner, name.clone())).unwrap_or_default()),
            })
            .collect();
        views.sort_by(|a, b| (&a.name, a.stage).cmp(&(&b.name, b.stage)));
        Ok(views)
    }

    /// One secret of a stage, its own or an inherited one.
    ///
    /// # Errors
    /// `FN_013` when the stage sees none of that name.
    pub async fn secret(&self, project: ProjectId, stage: Stage, name: &SecretName) -> Result<SecretView, Fault> {
        let stages = self.core.stages.of(project);
        let (owner, record) = stages.secret(stage, name).ok_or_else(|| no_secret(name, stage))?;
        let used_by = Some(self.secret_users(project, owner, name).await?);
        Ok(SecretView { name: name.clone(), stage: owner, record: Arc::clone(record), used_by })
    }

    async fn change_secret(
        &self,
        whose: Whose<'_>,
        change: impl Fn(Option<SecretRecord>, Timestamp) -> Result<SecretRecord, Fault>,
    ) -> Result<SecretView, Fault> {
        let Whose { project, stage, name } = whose;
        for _ in 0..RETRIES {
            let key = secret_key(project, stage, name);
            let (known, expect) = match self.core.registry.get(&key).await? {
                Some(entry) => (Some(decode(&key, &entry.value)?), Expect::Revision(entry.revision)),
                None => (None, Expect::Absent),
            };
            if known.is_none() {
                self.core.check_secret_count(project, stage)?;
            }
            let record = change(known, self.core.clock.now())?;
            let value = encode(&record)?;
            let write = Write::Put { key: key.clone(), value: value.clone(), expect };
            match self.core.registry.commit(vec![write]).await {
                Ok(revision) => {
                    self.core.stages.apply(&Change::Put(Entry { key, value, revision }));
                    self.core.refresh(project).await;
                    return Ok(SecretView { name: name.clone(), stage, record: Arc::new(record), used_by: None });
                }
                Err(PortError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::new(Code::Conflict, format!("the secret `{name}` is being changed by others")).with_retry_after(1))
    }
}

// === impl Core ===

impl Core {
    fn check_secret_count(&self, project: ProjectId, stage: Stage) -> Result<(), Fault> {
        let count = self.stages.of(project).secrets().filter(|(owner, ..)| *owner == stage).count();
        if count < limits::SECRETS_MAX {
            return Ok(());
        }
        let message = format!("stage {stage} has {count} secrets, as many as it may");
        Err(Fault::new(Code::RateLimited, message).with_hint("unset secrets that nothing uses"))
    }
}

fn no_secret(name: &SecretName, stage: Stage) -> Fault {
    Fault::new(Code::NotFound, format!("stage {stage} has no secret `{name}`")).with_hint(set_it(name, stage))
}

fn in_use(name: &SecretName, stage: Stage, users: &BTreeSet<String>) -> Fault {
    let named: Vec<&str> = users.iter().take(NAMED_MAX).map(String::as_str).collect();
    let more = users.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!("the secret `{name}` of stage {stage} is used by {}{more}", named.join(", "));
    Fault::new(Code::Conflict, message).with_hint(
        "take the references out and deploy, or force it: new instances of these functions do not start then",
    )
}
