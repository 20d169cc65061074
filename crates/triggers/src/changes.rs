//! Changes of triggers through the API.

use std::sync::Arc;
use std::time::Duration;

use faas_catalog::{FunctionEntry, RETRIES, encode};
use faas_ports::{Expect, PortError, Write};
use faas_runs::route::no_alias;
use faas_signing::WebhookSecret;
use faas_types::{AliasName, Code, Fault, Reason, TriggerId, TriggerSettings, WebhookScheme, limits};

use super::reconcile::TRIGGERS_MAX;
use super::record::{TriggerOrigin, TriggerRecord, state_key};
use super::service::Triggers;
use super::table::TriggerEntry;

/// A webhook's new secret, which is shown once.
pub struct NewSecret {
    /// The generated secret; `None` if the caller chose it.
    pub text: Option<String>,
}

/// What to change of a trigger; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct TriggerChange {
    /// Whether it fires.
    pub enabled: Option<bool>,
    /// The alias that it calls, one that its function has.
    pub alias: Option<AliasName>,
    /// Its settings, of the same type and name.
    pub settings: Option<TriggerSettings>,
}

// === impl Triggers ===

impl Triggers {
    /// The token in a webhook's URL; `None` for other triggers.
    ///
    /// # Errors
    /// When the sealed token cannot be opened.
    pub fn webhook_token(&self, entry: &TriggerEntry) -> Result<Option<String>, Fault> {
        let credentials = entry.record.credentials.as_ref();
        credentials.map(|credentials| self.credentials_place(&entry.record).token(credentials)).transpose()
    }

    /// How many secrets verify deliveries of a webhook now.
    #[must_use]
    pub fn live_secrets(&self, entry: &TriggerEntry) -> u32 {
        let now = self.clock.now();
        let secrets = entry.record.credentials.iter().flat_map(|credentials| &credentials.secrets);
        let live = secrets.filter(|secret| secret.expires_at.is_none_or(|end| now < end)).count();
        u32::try_from(live).unwrap_or(u32::MAX)
    }

    /// A trigger of this id.
    #[must_use]
    pub fn by_id(&self, id: TriggerId) -> Option<Arc<TriggerEntry>> {
        self.table.by_id(id)
    }

    /// Adds a trigger that calls `alias` and that deployments leave alone. A webhook gets `secret`, or a generated one;
    /// the trigger gets this id where one is given.
    ///
    /// # Errors
    /// `FN_013` for an unknown alias, `FN_014` when the name is taken, `FN_007` past the limit, `FN_006` for a secret that
    /// does not fit the scheme.
    pub async fn add(
        &self,
        function: &FunctionEntry,
        alias: AliasName,
        settings: TriggerSettings,
        secret: Option<&str>,
        id: Option<TriggerId>,
    ) -> Result<(Arc<TriggerEntry>, Option<NewSecret>), Fault> {
        let Some(name) = settings.name().cloned() else {
            return Err(Fault::new(Code::InvalidConfiguration, "http triggers are of the manifest")
                .with_hint("add it under [[triggers]] and deploy"));
        };
        let owner = &function.record;
        if alias != AliasName::live() && !owner.aliases.contains_key(&alias) {
            return Err(no_alias(&owner.name, &alias));
        }
        if self.table.of(owner.id).len() >= TRIGGERS_MAX as usize {
            return Err(Fault::new(Reason::LimitReached, format!("a function has at most {TRIGGERS_MAX} triggers"))
                .with_hint("remove triggers that are not used"));
        }
        let now = self.clock.now();
        let mut record = self.new_trigger(owner.project, owner.id, TriggerOrigin::Api, settings, now, id)?;
        record.alias = alias;
        let secret = self.give_secret(&mut record, secret, Duration::ZERO)?;
        let put = Write::Put { key: record.key(), value: encode(&record)?, expect: Expect::Absent };
        match self.registry.commit(vec![put]).await {
            Ok(revision) => Ok((self.put(record, revision), secret)),
            Err(PortError::Conflict { .. }) => {
                Err(Fault::new(Reason::NameTaken, format!("`{}` has a trigger `{name}` already", owner.name))
                    .with_hint("give it another `name`"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a trigger that was added through the API.
    ///
    /// # Errors
    /// `FN_014` for a trigger of the manifest, which the next deployment would bring back; `FN_031` for one that is pinned and was
    /// changed since; `FN_013` where another request removed it.
    pub async fn remove(&self, entry: &TriggerEntry, is_pinned: bool) -> Result<(), Fault> {
        let record = &entry.record;
        if record.origin == TriggerOrigin::Manifest {
            return Err(Fault::new(
                Reason::ManagedByManifest,
                format!("`{}` is a trigger of the manifest", record.name()),
            )
            .with_command_hint(
                "remove it from the manifest and deploy, or switch it off with `faas triggers disable`",
            ));
        }
        let found = self.registry.get(&record.key()).await?;
        let found = found.ok_or_else(|| Fault::new(Reason::TriggerNotFound, "the trigger was removed meanwhile"))?;
        let revision = if is_pinned { entry.revision } else { found.revision };
        let writes = vec![
            Write::Delete { key: record.key(), expect: Expect::Revision(revision) },
            Write::Delete { key: state_key(record.project, record.id), expect: Expect::Any },
        ];
        let revision = self.registry.commit(writes).await.map_err(|error| match error {
            PortError::Conflict { .. } => {
                let reason = if is_pinned { Reason::PreconditionFailed } else { Reason::ChangedMeanwhile };
                Fault::new(reason, format!("the trigger `{}` was changed by others meanwhile", record.name()))
            }
            error => error.into(),
        })?;
        self.table.forget(&record.key(), revision);
        self.states.forget(record.id);
        Ok(())
    }

    /// Changes a trigger. Ticks that pass while it is off do not fire. `is_pinned` refuses what another writer changed since
    /// `entry` was read.
    ///
    /// # Errors
    /// `FN_013` when it was removed meanwhile, `FN_014` for what the manifest decides and after too many
    /// conflicts with other writers, `FN_031` where it is pinned.
    pub async fn change(
        &self,
        entry: &TriggerEntry,
        change: TriggerChange,
        is_pinned: bool,
    ) -> Result<Arc<TriggerEntry>, Fault> {
        let TriggerChange { enabled, alias, settings } = change;
        if (alias.is_some() || settings.is_some()) && entry.record.origin == TriggerOrigin::Manifest {
            let message =
                format!("`{}` is a trigger of the manifest: here it is switched on or off", entry.record.name());
            return Err(Fault::new(Reason::ManagedByManifest, message));
        }
        let now = self.clock.now();
        let apply = |record: &mut TriggerRecord| {
            if let Some(enabled) = enabled {
                if enabled && !record.enabled {
                    record.active_since = now;
                }
                record.enabled = enabled;
            }
            if let Some(alias) = &alias {
                record.alias = alias.clone();
            }
            if let Some(settings) = &settings
                && record.settings != *settings
            {
                record.settings = settings.clone();
                record.active_since = now;
            }
            Ok(())
        };
        let expected = is_pinned.then_some(entry.revision);
        Ok(self.update_at(entry, expected, apply).await?.0)
    }

    /// Gives a webhook a new secret, `secret` or a generated one. The previous secret stays valid for `keep`.
    ///
    /// # Errors
    /// `FN_006` if the trigger is not a webhook, the secret does not fit the scheme, or `keep` is too long.
    pub async fn rotate_secret(
        &self,
        entry: &TriggerEntry,
        secret: Option<&str>,
        keep: Option<Duration>,
    ) -> Result<(Arc<TriggerEntry>, NewSecret), Fault> {
        let keep = keep.unwrap_or(limits::SECRET_OVERLAP_DEFAULT);
        if keep > limits::SECRET_OVERLAP_MAX {
            let days = limits::SECRET_OVERLAP_MAX.as_secs() / 86_400;
            return Err(Fault::new(Code::InvalidConfiguration, format!("keep: at most {days} days")));
        }
        let change = |record: &mut TriggerRecord| self.give_secret(record, secret, keep);
        match self.update(entry, change).await? {
            (entry, Some(secret)) => Ok((entry, secret)),
            (entry, None) => {
                let message = format!("`{}` is not a webhook and has no secret", entry.record.name());
                Err(Fault::new(Code::InvalidConfiguration, message))
            }
        }
    }

    /// Makes `secret`, or a generated one, the current secret of a webhook; `None` for other triggers.
    fn give_secret(
        &self,
        record: &mut TriggerRecord,
        secret: Option<&str>,
        keep: Duration,
    ) -> Result<Option<NewSecret>, Fault> {
        let place = self.credentials_place(record);
        let (TriggerSettings::Webhook(hook), Some(credentials)) = (&record.settings, &mut record.credentials) else {
            return match secret {
                Some(_) => Err(Fault::new(Code::InvalidConfiguration, "only webhooks have a secret")),
                None => Ok(None),
            };
        };
        let text = match secret {
            Some(text) => text.to_owned(),
            None => fresh_secret(hook.scheme)?,
        };
        WebhookSecret::read(hook.scheme, &text)
            .map_err(|error| Fault::new(Code::InvalidConfiguration, error.to_string()))?;
        place.add_secret(credentials, &text, self.clock.now().plus(keep))?;
        Ok(Some(NewSecret { text: secret.is_none().then_some(text) }))
    }

    /// Takes a committed record into the table.
    fn put(&self, record: TriggerRecord, revision: u64) -> Arc<TriggerEntry> {
        let entry = Arc::new(TriggerEntry { record: record.clone(), revision });
        self.table.learn(record, revision);
        entry
    }

    /// Applies `change` to the newest state of a record; repeats it when another writer was first.
    async fn update<T>(
        &self,
        entry: &TriggerEntry,
        change: impl Fn(&mut TriggerRecord) -> Result<T, Fault>,
    ) -> Result<(Arc<TriggerEntry>, T), Fault> {
        self.update_at(entry, None, change).await
    }

    /// The same, for the record at a revision alone where one is expected.
    async fn update_at<T>(
        &self,
        entry: &TriggerEntry,
        expected: Option<u64>,
        change: impl Fn(&mut TriggerRecord) -> Result<T, Fault>,
    ) -> Result<(Arc<TriggerEntry>, T), Fault> {
        let key = entry.record.key();
        for _ in 0..RETRIES {
            let stored = self.registry.get(&key).await?;
            let stored =
                stored.ok_or_else(|| Fault::new(Reason::TriggerNotFound, "the trigger was removed meanwhile"))?;
            if expected.is_some_and(|revision| revision != stored.revision) {
                let message = format!("the trigger `{}` was changed by others meanwhile", entry.record.name());
                return Err(Fault::new(Reason::PreconditionFailed, message));
            }
            let mut record: TriggerRecord = faas_catalog::decode(&key, &stored.value)?;
            let outcome = change(&mut record)?;
            record.updated_at = self.clock.now();
            let expect = Expect::Revision(stored.revision);
            match self.registry.commit(vec![Write::Put { key: key.clone(), value: encode(&record)?, expect }]).await {
                Ok(revision) => return Ok((self.put(record, revision), outcome)),
                Err(PortError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::new(Reason::ChangedMeanwhile, format!("`{}` is being changed by others", entry.record.name()))
            .with_retry_after(1))
    }
}

/// A generated secret in the form that the scheme's senders expect.
fn fresh_secret(scheme: WebhookScheme) -> Result<String, Fault> {
    let (_, text) = WebhookSecret::fresh().map_err(|error| Fault::internal(format!("no random numbers: {error}")))?;
    // Other schemes use the whole text as the secret; the prefix is Standard Webhooks' own.
    Ok(match scheme {
        WebhookScheme::Standard => text,
        _ => text.trim_start_matches("whsec_").to_owned(),
    })
}
