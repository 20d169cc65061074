//! What a project's callbacks are signed with.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use faas_catalog::{RETRIES, SealedRecord, encode};
use faas_ports::{Collection, Expect, Key, PortError, Secret, SecretPlace, Write};
use faas_signing::SealedSecret;
use faas_signing::{SECRETS_MAX, WebhookSecret};
use faas_types::{Code, Fault, ProjectId, Reason, Timestamp, WebhookScheme, limits};
use serde::{Deserialize, Serialize};

use crate::runs::Runs;

/// The settings entry that holds them.
const NAME: &str = "callbacks";

/// The secrets of a project. The disk holds nothing of them in the clear.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningSecrets {
    /// Live ones, the current one first.
    secrets: Vec<SealedSecret>,
    /// Counts the secrets that there were; each is sealed for its number.
    made: u64,
}

// === impl SigningSecrets ===

impl SigningSecrets {
    /// How many are live.
    #[must_use]
    pub fn live(&self, now: Timestamp) -> usize {
        self.secrets.iter().filter(|secret| is_live(secret, now)).count()
    }

    /// Which secret of the project the current one is, from 1; 0 before the first.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.made
    }
}

impl SealedRecord for SigningSecrets {
    const COLLECTION: Collection = Collection::Settings;

    fn is_at(key: &Key) -> bool {
        key.name == NAME
    }

    fn sealed_values<'a>(&'a mut self, key: &Key) -> Vec<(SecretPlace, &'a mut String)> {
        self.secrets.iter_mut().map(|secret| (place(key.project, secret.number), &mut secret.sealed)).collect()
    }
}

fn is_live(secret: &SealedSecret, now: Timestamp) -> bool {
    secret.expires_at.is_none_or(|end| now < end)
}

fn key(project: ProjectId) -> Key {
    Key::new(project, Collection::Settings, NAME)
}

fn place(project: ProjectId, number: u64) -> SecretPlace {
    SecretPlace { project, name: "callbacks/secret".to_owned(), version: number }
}

// === impl Runs ===

impl Runs {
    /// What a project's callbacks are signed with.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn signing_secrets(&self, project: ProjectId) -> Result<SigningSecrets, Fault> {
        Ok(self.signing_record(project).await?.0)
    }

    /// Gives a project another secret to sign callbacks with. The one before stays good for `keep`: callbacks carry the
    /// signatures of both. This is the only time that the secret is shown.
    ///
    /// # Errors
    /// `FN_006` for too long a time, `FN_014` when others change it all the time.
    pub async fn rotate_signing_secret(
        &self,
        project: ProjectId,
        keep: Option<Duration>,
    ) -> Result<(String, SigningSecrets), Fault> {
        let keep = keep.unwrap_or(limits::SECRET_OVERLAP_DEFAULT);
        if keep > limits::SECRET_OVERLAP_MAX {
            let days = limits::SECRET_OVERLAP_MAX.as_secs() / 86_400;
            return Err(Fault::new(Code::InvalidConfiguration, format!("keep: at most {days} days")));
        }
        for _ in 0..RETRIES {
            let (record, expect) = self.signing_record(project).await?;
            if let Some(made) = self.add_signing_secret(project, record, expect, keep).await? {
                return Ok(made);
            }
        }
        Err(Fault::new(Reason::ChangedMeanwhile, "the secret is being changed by others").with_retry_after(1))
    }
}

// === impl Runs ===

impl Runs {
    /// The live secrets of a project, the current one first; the first one is made when a project has no secret.
    pub(super) async fn live_signing_secrets(&self, project: ProjectId) -> Result<Vec<WebhookSecret>, Fault> {
        for _ in 0..RETRIES {
            let (record, expect) = self.signing_record(project).await?;
            if !record.secrets.is_empty() {
                return self.open_signing_secrets(project, &record);
            }
            self.add_signing_secret(project, record, expect, Duration::ZERO).await?;
        }
        Err(Fault::new(Reason::ChangedMeanwhile, "the secret is being changed by others").with_retry_after(1))
    }

    fn open_signing_secrets(&self, project: ProjectId, record: &SigningSecrets) -> Result<Vec<WebhookSecret>, Fault> {
        let now = self.clock.now();
        let unreadable = || Fault::internal("the secret that callbacks are signed with cannot be read");
        let live = record.secrets.iter().filter(|secret| is_live(secret, now));
        let open = |secret: &SealedSecret| {
            let sealed = BASE64_STANDARD.decode(&secret.sealed).map_err(|_| unreadable())?;
            let opened = self.vault.open(&place(project, secret.number), &sealed)?;
            let text = std::str::from_utf8(opened.reveal()).map_err(|_| unreadable())?;
            WebhookSecret::read(WebhookScheme::Standard, text).map_err(|_| unreadable())
        };
        live.map(open).collect()
    }

    async fn signing_record(&self, project: ProjectId) -> Result<(SigningSecrets, Expect), Fault> {
        let key = key(project);
        match self.registry.get(&key).await? {
            Some(entry) => Ok((faas_catalog::decode(&key, &entry.value)?, Expect::Revision(entry.revision))),
            None => Ok((SigningSecrets::default(), Expect::Absent)),
        }
    }

    /// Puts a fresh secret in front; `None` when another writer was first.
    async fn add_signing_secret(
        &self,
        project: ProjectId,
        mut record: SigningSecrets,
        expect: Expect,
        keep: Duration,
    ) -> Result<Option<(String, SigningSecrets)>, Fault> {
        let (_, text) =
            WebhookSecret::fresh().map_err(|error| Fault::internal(format!("no random numbers: {error}")))?;
        let number = record.made + 1;
        let sealed = self.vault.seal(&place(project, number), &Secret::new(text.clone().into_bytes()))?;
        let until = self.clock.now().plus(keep);
        for before in &mut record.secrets {
            before.expires_at = Some(before.expires_at.map_or(until, |end| end.min(until)));
        }
        record.secrets.insert(0, SealedSecret { number, sealed: BASE64_STANDARD.encode(sealed), expires_at: None });
        record.secrets.truncate(SECRETS_MAX);
        record.made = number;
        let put = Write::Put { key: key(project), value: encode(&record)?, expect };
        match self.registry.commit(vec![put]).await {
            Ok(_) => Ok(Some((text, record))),
            Err(PortError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
