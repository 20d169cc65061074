//! Changing triggers by hand.

use std::sync::Arc;
use std::time::Duration;

use faas_catalog::{FunctionEntry, RETRIES, encode};
use faas_ports::{Expect, PortError, Write};
use faas_runs::call::no_alias;
use faas_signing::WebhookSecret;
use faas_types::{AliasName, Code, Fault, TriggerSettings, WebhookScheme, limits};

use super::reconcile::ALL_MAX;
use super::record::{TriggerOrigin, TriggerRecord, TriggerState, state_key};
use super::table::TriggerEntry;
use super::webhook_credentials::CredentialsPlace;
use crate::core::Core;
use crate::engine::Engine;

/// What the sender of a webhook has to know. This is the only time that the secret is shown.
pub struct NewSecret {
    /// The secret; `None` where the caller brought it.
    pub text: Option<String>,
}

// === impl Engine ===

impl Engine {
    /// The triggers of every function.
    #[must_use]
    pub fn triggers(&self) -> &super::Triggers {
        &self.core.triggers
    }

    /// What happened to a trigger.
    #[must_use]
    pub fn trigger_state(&self, entry: &TriggerEntry) -> TriggerState {
        self.core.trigger_states.get(entry.record.id)
    }

    /// The token of a webhook's path.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn webhook_token(&self, entry: &TriggerEntry) -> Result<Option<String>, Fault> {
        let credentials = entry.record.credentials.as_ref();
        credentials.map(|credentials| self.core.credentials_place(&entry.record).token(credentials)).transpose()
    }

    /// How many secrets of a webhook are live.
    #[must_use]
    pub fn live_secrets(&self, entry: &TriggerEntry) -> u32 {
        let now = self.core.clock.now();
        let secrets = entry.record.credentials.iter().flat_map(|credentials| &credentials.secrets);
        let live = secrets.filter(|secret| secret.expires_at.is_none_or(|end| now < end)).count();
        u32::try_from(live).unwrap_or(u32::MAX)
    }

    /// Adds a trigger by hand, which calls the function by `alias`; deployments leave it alone. A webhook gets `secret`, or a
    /// fresh one.
    ///
    /// # Errors
    /// `FN_013` for an alias that is not there, `FN_014` when the name is taken, `FN_007` past the limit, `FN_006` for a secret that does not fit the scheme.
    pub async fn add_trigger(
        &self,
        function: &FunctionEntry,
        alias: AliasName,
        settings: TriggerSettings,
        secret: Option<&str>,
    ) -> Result<(Arc<TriggerEntry>, Option<NewSecret>), Fault> {
        let Some(name) = settings.name().cloned() else {
            return Err(Fault::new(Code::InvalidConfiguration, "http triggers are of the manifest")
                .with_hint("add it under [[triggers]] and deploy"));
        };
        let owner = &function.record;
        let core = &self.core;
        if alias != AliasName::live() && !owner.aliases.contains_key(&alias) {
            return Err(no_alias(&owner.name, &alias));
        }
        if core.triggers.of(owner.id).len() >= ALL_MAX as usize {
            return Err(Fault::new(Code::RateLimited, format!("a function has at most {ALL_MAX} triggers"))
                .with_hint("remove triggers that are not used"));
        }
        let now = core.clock.now();
        let mut record = core.new_trigger(owner.project, owner.id, TriggerOrigin::Api, settings, now)?;
        record.alias = alias;
        let secret = core.give_secret(&mut record, secret, Duration::ZERO)?;
        let put = Write::Put { key: record.key(), value: encode(&record)?, expect: Expect::Absent };
        match core.registry.commit(vec![put]).await {
            Ok(revision) => Ok((core.learn(record, revision), secret)),
            Err(PortError::Conflict { .. }) => {
                Err(Fault::new(Code::Conflict, format!("`{}` has a trigger `{name}` already", owner.name))
                    .with_hint("give it another `name`"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a trigger that was added by hand.
    ///
    /// # Errors
    /// `FN_014` for one of the manifest, which would come back.
    pub async fn remove_trigger(&self, entry: &TriggerEntry) -> Result<(), Fault> {
        let record = &entry.record;
        if record.origin == TriggerOrigin::Manifest {
            return Err(Fault::new(Code::Conflict, format!("`{}` is a trigger of the manifest", record.name()))
                .with_hint("remove it from the manifest and deploy, or switch it off with `faas triggers disable`"));
        }
        let writes = vec![
            Write::Delete { key: record.key(), expect: Expect::Any },
            Write::Delete { key: state_key(record.project, record.id), expect: Expect::Any },
        ];
        let revision = self.core.registry.commit(writes).await?;
        self.core.triggers.forget(&record.key(), revision);
        self.core.trigger_states.forget(record.id);
        Ok(())
    }

    /// Switches a trigger on or off. Ticks that pass while it is off are none of it.
    ///
    /// # Errors
    /// `FN_014` when others change it all the time.
    pub async fn enable_trigger(&self, entry: &TriggerEntry, enabled: bool) -> Result<Arc<TriggerEntry>, Fault> {
        let now = self.core.clock.now();
        let change = |record: &mut TriggerRecord| {
            if enabled && !record.enabled {
                record.active_since = now;
            }
            record.enabled = enabled;
            Ok(())
        };
        Ok(self.core.update_trigger(entry, change).await?.0)
    }

    /// Gives a webhook another secret, `secret` or a fresh one. The one before stays good for `keep`.
    ///
    /// # Errors
    /// `FN_006` for a trigger without secrets, a secret that does not fit the scheme, or too long a time.
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
        let core = &self.core;
        let change = |record: &mut TriggerRecord| core.give_secret(record, secret, keep);
        match core.update_trigger(entry, change).await? {
            (entry, Some(secret)) => Ok((entry, secret)),
            (entry, None) => Err(Fault::new(
                Code::InvalidConfiguration,
                format!("`{}` is no webhook and has no secret", entry.record.name()),
            )),
        }
    }
}

// === impl Core ===

impl Core {
    pub(super) fn credentials_place<'a>(&'a self, record: &TriggerRecord) -> CredentialsPlace<'a> {
        CredentialsPlace { vault: &*self.vault, project: record.project, trigger: record.id }
    }

    /// Puts a secret before those of a webhook; `None` for other triggers.
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

    fn learn(&self, record: TriggerRecord, revision: u64) -> Arc<TriggerEntry> {
        let own = Arc::new(TriggerEntry { record: record.clone(), revision });
        self.triggers.learn(record, revision);
        own
    }

    /// Applies `change` to the newest state of a record, again when another writer was first.
    async fn update_trigger<T>(
        &self,
        entry: &TriggerEntry,
        change: impl Fn(&mut TriggerRecord) -> Result<T, Fault>,
    ) -> Result<(Arc<TriggerEntry>, T), Fault> {
        let key = entry.record.key();
        for _ in 0..RETRIES {
            let stored = self.registry.get(&key).await?;
            let stored = stored.ok_or_else(|| Fault::new(Code::NotFound, "the trigger was removed meanwhile"))?;
            let mut record: TriggerRecord = faas_catalog::decode(&key, &stored.value)?;
            let outcome = change(&mut record)?;
            record.updated_at = self.clock.now();
            let expect = Expect::Revision(stored.revision);
            match self.registry.commit(vec![Write::Put { key: key.clone(), value: encode(&record)?, expect }]).await {
                Ok(revision) => return Ok((self.learn(record, revision), outcome)),
                Err(PortError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::new(Code::Conflict, format!("`{}` is being changed by others", entry.record.name()))
            .with_retry_after(1))
    }
}

/// A secret as senders of a scheme take it.
fn fresh_secret(scheme: WebhookScheme) -> Result<String, Fault> {
    let (_, text) = WebhookSecret::fresh().map_err(|error| Fault::internal(format!("no random numbers: {error}")))?;
    // Other schemes take the text as it is; the prefix would only mislead.
    Ok(match scheme {
        WebhookScheme::Standard => text,
        _ => text.trim_start_matches("whsec_").to_owned(),
    })
}
