//! Another key for everything that is sealed: a new one in the ring, and every small key sealed anew under it. What a crash
//! leaves is readable, since old keys stay; going over it once more finishes the work.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use faas_catalog::{SecretId, SecretRecord, decode, encode, secret_of, secret_place, snapshot};
use faas_ports::{Collection, Entry, Expect, PortError, SecretPlace, Write};
use faas_runs::completion::{self, SigningSecrets};
use faas_triggers::TriggerRecord;
use faas_types::Fault;

use crate::core::Core;
use crate::engine::Engine;

/// Times that everything is gone over, so that what was sealed at the moment of the change is found as well.
const PASSES: u32 = 5;

/// What a change of the key has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rekeyed {
    /// Values sealed anew: of secrets, webhooks and callbacks.
    pub resealed: u64,
    /// Records that hold a value which does not open, by collection and name; they stay as they are.
    pub unreadable: Vec<String>,
}

/// A record whose values are sealed.
trait Sealed: Sized + serde::Serialize + serde::de::DeserializeOwned {
    /// Each value in base64, with the place that it is sealed for.
    fn values<'a>(&'a mut self, entry: &Entry) -> Vec<(SecretPlace, &'a mut String)>;
}

impl Sealed for SecretRecord {
    fn values<'a>(&'a mut self, entry: &Entry) -> Vec<(SecretPlace, &'a mut String)> {
        let Some((stage, name)) = secret_of(&entry.key.name) else { return Vec::new() };
        let id = SecretId { project: entry.key.project, stage, name: &name };
        let place = |number| secret_place(id, number);
        self.versions.iter_mut().map(|version| (place(version.number), &mut version.sealed)).collect()
    }
}

impl Sealed for TriggerRecord {
    fn values<'a>(&'a mut self, _: &Entry) -> Vec<(SecretPlace, &'a mut String)> {
        faas_triggers::sealed_values(self)
    }
}

impl Sealed for SigningSecrets {
    fn values<'a>(&'a mut self, entry: &Entry) -> Vec<(SecretPlace, &'a mut String)> {
        completion::sealed_values(self, entry.key.project)
    }
}

// === impl Engine ===

impl Engine {
    /// Makes a new key and seals everything anew under it, of all projects. May be broken off and begun again at any point.
    ///
    /// # Errors
    /// When the key file or the registry cannot be written. Everything is readable then.
    pub async fn rekey(&self) -> Result<Rekeyed, Fault> {
        let vault = std::sync::Arc::clone(&self.core.vault);
        let rotated = tokio::task::spawn_blocking(move || vault.rotate()).await;
        rotated.map_err(|error| Fault::internal(format!("changing the key broke off: {error}")))??;
        let mut done = Rekeyed::default();
        for _ in 0..PASSES {
            let before = done.resealed;
            done.unreadable.clear();
            self.core.reseal_all::<SecretRecord>(Collection::Secrets, &mut done).await?;
            self.core.reseal_all::<TriggerRecord>(Collection::Triggers, &mut done).await?;
            self.core.reseal_all::<SigningSecrets>(Collection::Settings, &mut done).await?;
            if done.resealed == before {
                break;
            }
        }
        tracing::info!(resealed = done.resealed, unreadable = done.unreadable.len(), "everything is under a new key");
        Ok(done)
    }
}

// === impl Core ===

impl Core {
    async fn reseal_all<T: Sealed>(&self, collection: Collection, done: &mut Rekeyed) -> Result<(), Fault> {
        let entries = snapshot(&*self.registry, collection).await?;
        for entry in entries.into_iter().filter(|entry| completion::is_sealed(&entry.key)) {
            self.reseal::<T>(entry, done).await?;
        }
        Ok(())
    }

    /// Seals the values of one record anew. One that was changed by others meanwhile is left to the next pass.
    async fn reseal<T: Sealed>(&self, entry: Entry, done: &mut Rekeyed) -> Result<(), Fault> {
        let named = format!("{}/{}", entry.key.collection.as_str(), entry.key.name);
        let Ok(mut record) = decode::<T>(&entry.key, &entry.value) else {
            done.unreadable.push(named);
            return Ok(());
        };
        let (mut changed, mut unreadable) = (0, false);
        for (place, text) in record.values(&entry) {
            let renewed = match BASE64_STANDARD.decode(&*text) {
                Ok(sealed) => self.vault.renew(&place, &sealed),
                Err(_) => Err(PortError::Corrupt { what: place.name }),
            };
            match renewed {
                Ok(Some(renewed)) => {
                    *text = BASE64_STANDARD.encode(renewed);
                    changed += 1;
                }
                Ok(None) => {}
                Err(PortError::Corrupt { .. }) => unreadable = true,
                Err(error) => return Err(error.into()),
            }
        }
        if unreadable {
            done.unreadable.push(named);
        }
        if changed == 0 {
            return Ok(());
        }
        let put = Write::Put { key: entry.key, value: encode(&record)?, expect: Expect::Revision(entry.revision) };
        match self.registry.commit(vec![put]).await {
            Ok(_) => done.resealed += changed,
            Err(PortError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
