//! Another key for everything that is sealed: a new one in the ring, and every small key sealed anew under it. What a crash
//! leaves is readable, since old keys stay; going over it once more finishes the work.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use faas_ports::{Collection, Entry, Expect, Key, PortError, Registry, SecretPlace, Vault, Write};
use faas_types::Fault;

use crate::projection::snapshot;
use crate::records::{decode, encode};

/// Times that everything is gone over, so that what was sealed at the moment of the change is found as well.
const PASSES: u32 = 5;

/// A record of the registry that holds sealed values.
pub trait SealedRecord: Sized + serde::Serialize + serde::de::DeserializeOwned {
    /// The collection of such records.
    const COLLECTION: Collection;

    /// Whether an entry of the collection is such a record.
    fn is_at(_: &Key) -> bool {
        true
    }

    /// Each value in base64, with the place that it is sealed for.
    fn sealed_values<'a>(&'a mut self, key: &Key) -> Vec<(SecretPlace, &'a mut String)>;
}

/// A kind of record whose values are sealed anew.
#[derive(Clone, Copy)]
pub struct SealedKind {
    collection: Collection,
    is_at: fn(&Key) -> bool,
    renew: fn(&dyn Vault, &Entry) -> Result<Renewed, Fault>,
}

/// What a change of the key has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rekeyed {
    /// Values sealed anew.
    pub resealed: u64,
    /// Records that hold a value which does not open, by collection and name; they stay as they are.
    pub unreadable: Vec<String>,
}

/// Changes the key that everything is sealed under.
pub struct Rekeyer {
    registry: Arc<dyn Registry>,
    vault: Arc<dyn Vault>,
    kinds: Vec<SealedKind>,
}

/// A record that was gone over.
struct Renewed {
    /// Values that are under the new key now.
    changed: u64,
    /// Whether a value does not open.
    unreadable: bool,
    /// The record with them.
    value: Bytes,
}

// === impl SealedKind ===

impl SealedKind {
    /// The kind of a record.
    #[must_use]
    pub const fn of<T: SealedRecord>() -> Self {
        Self { collection: T::COLLECTION, is_at: T::is_at, renew: renew::<T> }
    }
}

/// Seals the values of one record anew.
fn renew<T: SealedRecord>(vault: &dyn Vault, entry: &Entry) -> Result<Renewed, Fault> {
    let Ok(mut record) = decode::<T>(&entry.key, &entry.value) else {
        return Ok(Renewed { changed: 0, unreadable: true, value: Bytes::new() });
    };
    let (mut changed, mut unreadable) = (0, false);
    for (place, text) in record.sealed_values(&entry.key) {
        let renewed = match BASE64_STANDARD.decode(&*text) {
            Ok(sealed) => vault.renew(&place, &sealed),
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
    Ok(Renewed { changed, unreadable, value: encode(&record)? })
}

// === impl Rekeyer ===

impl Rekeyer {
    /// The service for these kinds of records.
    pub fn new(registry: Arc<dyn Registry>, vault: Arc<dyn Vault>, kinds: Vec<SealedKind>) -> Self {
        Self { registry, vault, kinds }
    }

    /// Makes a new key and seals everything anew under it, of all projects. May be broken off and begun again at any point.
    ///
    /// # Errors
    /// When the key file or the registry cannot be written. Everything is readable then.
    pub async fn rekey(&self) -> Result<Rekeyed, Fault> {
        let vault = Arc::clone(&self.vault);
        let rotated = tokio::task::spawn_blocking(move || vault.rotate()).await;
        rotated.map_err(|error| Fault::internal(format!("changing the key broke off: {error}")))??;
        let mut done = Rekeyed::default();
        for _ in 0..PASSES {
            let before = done.resealed;
            done.unreadable.clear();
            for kind in &self.kinds {
                self.reseal_all(kind, &mut done).await?;
            }
            if done.resealed == before {
                break;
            }
        }
        tracing::info!(resealed = done.resealed, unreadable = done.unreadable.len(), "everything is under a new key");
        Ok(done)
    }

    async fn reseal_all(&self, kind: &SealedKind, done: &mut Rekeyed) -> Result<(), Fault> {
        let entries = snapshot(&*self.registry, kind.collection).await?;
        for entry in entries.into_iter().filter(|entry| (kind.is_at)(&entry.key)) {
            self.reseal(kind, entry, done).await?;
        }
        Ok(())
    }

    /// Seals the values of one record anew. One that was changed by others meanwhile is left to the next pass.
    async fn reseal(&self, kind: &SealedKind, entry: Entry, done: &mut Rekeyed) -> Result<(), Fault> {
        let Renewed { changed, unreadable, value } = (kind.renew)(&*self.vault, &entry)?;
        if unreadable {
            done.unreadable.push(format!("{}/{}", entry.key.collection.as_str(), entry.key.name));
        }
        if changed == 0 {
            return Ok(());
        }
        let put = Write::Put { key: entry.key, value, expect: Expect::Revision(entry.revision) };
        match self.registry.commit(vec![put]).await {
            Ok(_) => done.resealed += changed,
            Err(PortError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
