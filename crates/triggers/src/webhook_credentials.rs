//! Makes, seals and opens a webhook's token and secrets.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use faas_catalog::SealedRecord;
use faas_ports::{Collection, Key, Secret, SecretPlace, Vault};
use faas_signing::{SECRETS_MAX, SealedSecret, WebhookSecret};
use faas_types::{Fault, ProjectId, Timestamp, TriggerId, WebhookScheme};

use super::record::{TriggerRecord, WebhookCredentials};

/// Random bytes of a token, too many to guess.
const TOKEN_BYTES: usize = 24;

/// The vault, and whose secrets are sealed in it.
#[derive(Clone, Copy)]
pub(super) struct CredentialsPlace<'a> {
    pub(super) vault: &'a dyn Vault,
    pub(super) project: ProjectId,
    pub(super) trigger: TriggerId,
}

// === impl CredentialsPlace ===

impl CredentialsPlace<'_> {
    /// Credentials with a new token and no secret. No delivery is accepted before a secret is added.
    pub(super) fn make(&self) -> Result<WebhookCredentials, Fault> {
        let mut random = [0; TOKEN_BYTES];
        getrandom::fill(&mut random).map_err(|error| Fault::internal(format!("no random numbers: {error}")))?;
        let token = BASE64_URL_SAFE_NO_PAD.encode(random);
        let sealed = self.vault.seal(&self.place("token", 0), &Secret::new(token.clone().into_bytes()))?;
        Ok(WebhookCredentials {
            token_hash: hash(&token),
            token: BASE64_STANDARD.encode(sealed),
            secrets: Vec::new(),
            secrets_made: 0,
        })
    }

    /// The token in the clear.
    pub(super) fn token(&self, credentials: &WebhookCredentials) -> Result<String, Fault> {
        let opened = self.open(&self.place("token", 0), &credentials.token)?;
        String::from_utf8(opened.reveal().to_vec()).map_err(|_| Fault::internal("a webhook's token is not text"))
    }

    /// Makes `text` the current secret. The previous one ends at `until`, older ones end at once.
    pub(super) fn add_secret(
        &self,
        credentials: &mut WebhookCredentials,
        text: &str,
        until: Timestamp,
    ) -> Result<(), Fault> {
        let number = credentials.secrets_made + 1;
        let sealed = self.vault.seal(&self.place("secret", number), &Secret::new(text.as_bytes().to_vec()))?;
        for before in &mut credentials.secrets {
            before.expires_at = Some(before.expires_at.map_or(until, |end| end.min(until)));
        }
        credentials
            .secrets
            .insert(0, SealedSecret { number, sealed: BASE64_STANDARD.encode(sealed), expires_at: None });
        credentials.secrets.truncate(SECRETS_MAX);
        credentials.secrets_made = number;
        Ok(())
    }

    /// The secrets that are valid now, the current one first.
    pub(super) fn secrets(
        &self,
        credentials: &WebhookCredentials,
        scheme: WebhookScheme,
        now: Timestamp,
    ) -> Result<Vec<WebhookSecret>, Fault> {
        let live = credentials.secrets.iter().filter(|secret| secret.expires_at.is_none_or(|end| now < end));
        let mut secrets = Vec::with_capacity(SECRETS_MAX);
        for secret in live {
            let opened = self.open(&self.place("secret", secret.number), &secret.sealed)?;
            let text = std::str::from_utf8(opened.reveal()).map_err(|_| unreadable())?;
            // The manifest may have changed the scheme since: a secret of another scheme is skipped.
            secrets.extend(WebhookSecret::read(scheme, text));
        }
        Ok(secrets)
    }

    fn open(&self, place: &SecretPlace, sealed: &str) -> Result<Secret, Fault> {
        let sealed = BASE64_STANDARD.decode(sealed).map_err(|_| unreadable())?;
        Ok(self.vault.open(place, &sealed)?)
    }

    fn place(&self, what: &str, version: u64) -> SecretPlace {
        place(self.project, self.trigger, what, version)
    }
}

fn place(project: ProjectId, trigger: TriggerId, what: &str, version: u64) -> SecretPlace {
    SecretPlace { project, name: format!("triggers/{trigger}/{what}"), version }
}

impl SealedRecord for TriggerRecord {
    const COLLECTION: Collection = Collection::Triggers;

    fn sealed_values<'a>(&'a mut self, _: &Key) -> Vec<(SecretPlace, &'a mut String)> {
        let (project, trigger) = (self.project, self.id);
        let Some(credentials) = &mut self.credentials else { return Vec::new() };
        let secrets = credentials.secrets.iter_mut();
        let secrets = secrets.map(|secret| (place(project, trigger, "secret", secret.number), &mut secret.sealed));
        std::iter::once((place(project, trigger, "token", 0), &mut credentials.token)).chain(secrets).collect()
    }
}

/// The hash by which a delivery's token finds its webhook.
pub(super) fn hash(token: &str) -> String {
    blake3::hash(token.as_bytes()).to_hex().to_string()
}

fn unreadable() -> Fault {
    Fault::internal("a sealed secret of a webhook cannot be read")
}
