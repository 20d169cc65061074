//! Secrets: set, listed without their values, restored, unset.

mod usage;

use std::collections::BTreeSet;
use std::sync::Arc;

use faas_ports::{Clock, Expect, PortError, Registry, Secret, Vault, Write};
use faas_types::{Code, Fault, ProjectId, Reason, SecretName, Stage, Timestamp, limits};

use crate::catalog::Catalog;
use crate::instance_refresher::InstanceRefresher;
use crate::records::{RETRIES, decode, encode};
use crate::vars::{SecretId, SecretRecord, VarStore, secret_key, set_secret_hint};

/// Users that a message names.
const NAMED_MAX: usize = 10;

/// Ports and services that secrets need.
#[expect(missing_docs, reason = "each field is the port or service of its type")]
pub struct SecretDeps {
    pub registry: Arc<dyn Registry>,
    pub vault: Arc<dyn Vault>,
    pub clock: Arc<dyn Clock>,
    pub catalog: Arc<Catalog>,
    pub vars: Arc<VarStore>,
    pub refresher: Arc<dyn InstanceRefresher>,
}

/// The secrets of projects, by stage. Instances that use a changed secret are replaced.
pub struct Secrets {
    deps: SecretDeps,
}

/// A secret without its values.
#[derive(Clone, Debug)]
pub struct SecretSummary {
    /// Its name.
    pub name: SecretName,
    /// The stage that has it.
    pub stage: Stage,
    /// Its record; the values in it are sealed.
    pub record: Arc<SecretRecord>,
    /// The functions that refer to it in a stage that sees it; `None` where they were not looked up.
    pub used_by: Option<BTreeSet<String>>,
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

// === impl Secrets ===

impl Secrets {
    /// The service on its ports.
    pub fn new(deps: SecretDeps) -> Self {
        Self { deps }
    }

    /// Gives a secret another value, or makes it. Instances that use it are replaced; calls under way end as they began.
    ///
    /// # Errors
    /// `FN_006` for a value that cannot be one, `FN_007` past the limit of secrets.
    pub async fn set(
        &self,
        project: ProjectId,
        stage: Stage,
        name: &SecretName,
        value: Secret,
    ) -> Result<SecretSummary, Fault> {
        check_value(name, &value)?;
        let id = SecretId { project, stage, name };
        let vault = Arc::clone(&self.deps.vault);
        self.change(id, |record, now| {
            let mut record = record.unwrap_or_else(|| SecretRecord::empty(now));
            record.add(id, &*vault, &value, now)?;
            Ok(record)
        })
        .await
    }

    /// Gives a secret an earlier value again, as a version of its own.
    ///
    /// # Errors
    /// `FN_013` when there is no such secret or that version is not kept, `FN_029` when it does not open.
    pub async fn restore(
        &self,
        project: ProjectId,
        stage: Stage,
        name: &SecretName,
        number: u64,
    ) -> Result<SecretSummary, Fault> {
        let id = SecretId { project, stage, name };
        let vault = Arc::clone(&self.deps.vault);
        self.change(id, |record, now| {
            let mut record = record.ok_or_else(|| no_secret(name, stage))?;
            if !record.versions.iter().any(|version| version.number == number) {
                return Err(Fault::new(
                    Reason::SecretNotFound,
                    format!("version {number} of secret `{name}` is not kept"),
                )
                .with_command_hint(format!("its versions are listed by `faas secrets versions {name}`")));
            }
            let value = record.open(&*vault, id, number).map_err(|error| match error {
                PortError::Corrupt { what } => Fault::new(Code::SecretUnusable, format!("{what} does not open")),
                other => other.into(),
            })?;
            record.add(id, &*vault, &Secret::new(value.as_bytes().to_vec()), now)?;
            record.versions[0].restored_from = Some(number);
            Ok(record)
        })
        .await
    }

    /// Forgets a secret with all its versions.
    ///
    /// # Errors
    /// `FN_013` when the stage has none of that name, `FN_014` naming the functions that would lack it, unless forced.
    pub async fn unset(&self, project: ProjectId, stage: Stage, name: &SecretName, force: bool) -> Result<(), Fault> {
        if self.deps.vars.of(project).own_secret(stage, name).is_none() {
            let of = if stage.is_default() { String::new() } else { format!(" --stage {stage}") };
            return Err(no_secret(name, stage).with_command_hint(format!("list them with: faas secrets list{of}")));
        }
        let is_inherited = stage.parent().is_some_and(|parent| {
            let vars = self.deps.vars.of(project);
            vars.secret(parent, name).is_some()
        });
        if !force && !is_inherited {
            let users = self.users(project, stage, name).await?;
            if !users.is_empty() {
                return Err(in_use(name, stage, &users));
            }
        }
        let key = secret_key(project, stage, name);
        let revision = self.deps.registry.commit(vec![Write::Delete { key: key.clone(), expect: Expect::Any }]).await?;
        self.deps.vars.forget_secret(&key, revision);
        self.deps.refresher.vars_changed(project).await;
        Ok(())
    }

    /// The secrets that a stage sees, its own and inherited ones, by name; of every stage where none is given.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn list(&self, project: ProjectId, stage: Option<Stage>) -> Result<Vec<SecretSummary>, Fault> {
        let vars = self.deps.vars.of(project);
        let mut usage = self.usage(project).await?;
        let is_seen = |owner: Stage, name: &SecretName| match stage {
            Some(stage) => vars.secret(stage, name).is_some_and(|(seen, _)| seen == owner),
            None => true,
        };
        let mut views: Vec<SecretSummary> = vars
            .secrets()
            .filter(|(owner, name, _)| is_seen(*owner, name))
            .map(|(owner, name, record)| SecretSummary {
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
    pub async fn get(&self, project: ProjectId, stage: Stage, name: &SecretName) -> Result<SecretSummary, Fault> {
        let vars = self.deps.vars.of(project);
        let (owner, record) = vars.secret(stage, name).ok_or_else(|| no_secret(name, stage))?;
        let used_by = Some(self.users(project, owner, name).await?);
        Ok(SecretSummary { name: name.clone(), stage: owner, record: Arc::clone(record), used_by })
    }

    async fn change(
        &self,
        id: SecretId<'_>,
        change: impl Fn(Option<SecretRecord>, Timestamp) -> Result<SecretRecord, Fault>,
    ) -> Result<SecretSummary, Fault> {
        let SecretId { project, stage, name } = id;
        for _ in 0..RETRIES {
            let key = secret_key(project, stage, name);
            let (known, expect) = match self.deps.registry.get(&key).await? {
                Some(entry) => (Some(decode(&key, &entry.value)?), Expect::Revision(entry.revision)),
                None => (None, Expect::Absent),
            };
            if known.is_none() {
                self.check_count(project, stage)?;
            }
            let record = change(known, self.deps.clock.now())?;
            let write = Write::Put { key: key.clone(), value: encode(&record)?, expect };
            match self.deps.registry.commit(vec![write]).await {
                Ok(revision) => {
                    self.deps.vars.learn_secret(&key, record.clone(), revision);
                    self.deps.refresher.vars_changed(project).await;
                    return Ok(SecretSummary { name: name.clone(), stage, record: Arc::new(record), used_by: None });
                }
                Err(PortError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::new(Reason::ChangedMeanwhile, format!("the secret `{name}` is being changed by others"))
            .with_retry_after(1))
    }
    fn check_count(&self, project: ProjectId, stage: Stage) -> Result<(), Fault> {
        let count = self.deps.vars.of(project).secrets().filter(|(owner, ..)| *owner == stage).count();
        if count < limits::SECRETS_MAX {
            return Ok(());
        }
        let message = format!("stage {stage} has {count} secrets, as many as it may");
        Err(Fault::new(Reason::LimitReached, message).with_hint("unset secrets that nothing uses"))
    }
}

fn no_secret(name: &SecretName, stage: Stage) -> Fault {
    Fault::new(Reason::SecretNotFound, format!("stage {stage} has no secret `{name}`"))
        .with_command_hint(set_secret_hint(name, stage))
}

fn in_use(name: &SecretName, stage: Stage, users: &BTreeSet<String>) -> Fault {
    let named: Vec<&str> = users.iter().take(NAMED_MAX).map(String::as_str).collect();
    let more = users.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!("the secret `{name}` of stage {stage} is used by {}{more}", named.join(", "));
    Fault::new(Reason::InUse, message).with_hint(
        "take the references out and deploy, or force it: new instances of these functions do not start then",
    )
}
