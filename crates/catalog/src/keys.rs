//! API keys: `faas_` + 43 random characters + a checksum of 6, all base64url. Stored as a hash.
//!
//! The checksum lets scanners and ourselves tell a mistyped key from a wrong one without a look-up. The 256 random
//! bits make a plain BLAKE3 hash safe to store and quick to check.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use faas_ports::{Clock, Collection, Expect, IdSource, Key, PortResult, Registry, Write};
use faas_types::{Author, Fault, KeyId, ProjectId, Reason, Scope, Timestamp};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::projection::{ProjectedTable, Projection, ProjectionStatus};
use crate::records::{corrupt, encode};

const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
/// Characters of a key that are shown to tell keys apart; too few to guess the rest.
const SHOWN_CHARS: usize = 12;

/// A key as the registry keeps it, under the hash of its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its id.
    pub id: KeyId,
    /// What people call it.
    pub name: String,
    /// The first characters of its text.
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Who sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The project that the key belongs to.
    pub project: ProjectId,
    /// The key.
    pub key: KeyId,
    /// What people call the key.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// A fresh key; its text is known only here.
pub struct MintedKey {
    /// The text.
    pub text: String,
    /// What is stored of it.
    pub record: KeyRecord,
}

/// The API keys of every project, kept current by following the registry.
pub struct Keys {
    registry: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    known: Projection<KeyTable>,
}

/// Keys by the hash of their text.
#[derive(Default)]
struct KeyTable(RwLock<HashMap<blake3::Hash, KnownKey>>);

/// A key in memory.
struct KnownKey {
    caller: Arc<Caller>,
    record: KeyRecord,
    revision: u64,
}

// === impl Caller ===

impl Caller {
    /// Whether the caller may do what `wanted` covers.
    #[must_use]
    pub fn may(&self, wanted: Scope) -> bool {
        self.scopes.iter().any(|scope| scope.grants(wanted))
    }

    /// The caller as the author of a version.
    #[must_use]
    pub fn author(&self) -> Author {
        Author { key: self.key, name: self.name.clone() }
    }
}

// === impl Keys ===

impl Keys {
    /// What every key's text starts with.
    pub const PREFIX: &str = "faas_";

    /// Loads all keys and keeps following; returns once it is complete.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn start(
        registry: Arc<dyn Registry>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> PortResult<Arc<Self>> {
        let known = Projection::start(Arc::clone(&registry), KeyTable::default()).await?;
        Ok(Arc::new(Self { registry, clock, ids, known }))
    }

    /// Whether the keys are current.
    pub fn status(&self) -> ProjectionStatus {
        self.known.status()
    }

    /// Makes and stores a key.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn mint(&self, project: ProjectId, name: &str, scopes: Vec<Scope>) -> Result<MintedKey, Fault> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| Fault::internal(format!("no random numbers: {error}")))?;
        let secret = BASE64_URL_SAFE_NO_PAD.encode(random);
        let text = format!("{}{secret}{}", Keys::PREFIX, checksum(&secret));
        let now = self.clock.now();
        let record = KeyRecord {
            id: self.ids.mint(now),
            name: name.to_owned(),
            prefix: text[..SHOWN_CHARS].to_owned(),
            scopes,
            created_at: now,
            revoked_at: None,
        };
        self.store(project, hash(&text).to_hex().to_string(), &record, Expect::Absent).await?;
        Ok(MintedKey { text, record })
    }

    /// Revokes a key; what it may do ends at once.
    ///
    /// # Errors
    /// `FN_013` when the project has no such key.
    pub async fn revoke(&self, project: ProjectId, id: KeyId) -> Result<(), Fault> {
        let found = {
            let known = self.known.table().0.read();
            let mut of_project = known.iter().filter(|(_, key)| key.caller.project == project);
            let found = of_project.find(|(_, key)| key.record.id == id);
            found.map(|(hash, key)| (hash.to_hex().to_string(), key.record.clone(), key.revision))
        };
        let (hash, mut record, revision) =
            found.ok_or_else(|| Fault::new(Reason::KeyNotFound, format!("no key `{id}`")))?;
        if record.revoked_at.is_some() {
            return Err(Fault::new(Reason::KeyNotFound, format!("the key `{id}` was revoked before")));
        }
        record.revoked_at = Some(self.clock.now());
        self.store(project, hash, &record, Expect::Revision(revision)).await
    }

    /// The project's keys, newest first.
    #[must_use]
    pub fn list(&self, project: ProjectId) -> Vec<KeyRecord> {
        let known = self.known.table().0.read();
        let of_project = known.values().filter(|key| key.caller.project == project);
        let mut records: Vec<KeyRecord> = of_project.map(|key| key.record.clone()).collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.id));
        records
    }

    /// Who a key's text belongs to.
    ///
    /// # Errors
    /// `FN_010`, saying whether the text is malformed, unknown or revoked.
    pub fn authenticate(&self, text: &str) -> Result<Arc<Caller>, Fault> {
        match self.known.table().0.read().get(&hash(text)) {
            Some(key) if key.record.revoked_at.is_none() => Ok(Arc::clone(&key.caller)),
            Some(_) => Err(refused("the key was revoked").with_command_hint(
                "get another from an admin, who makes one with `faas keys create NAME --scope SCOPE`, and run `faas login`",
            )),
            None if !is_well_formed(text) => Err(refused("the key is malformed")
                .with_hint("a key starts with faas_ and has 54 characters; copy it whole")),
            None => Err(refused("the key is not known here")
                .with_command_hint(
                    "it may belong to another server; `faas login URL` keeps one for a server, and FAAS_API_KEY goes before what is kept",
                )),
        }
    }

    async fn store(&self, project: ProjectId, hash: String, record: &KeyRecord, expect: Expect) -> Result<(), Fault> {
        let key = Key::new(project, Collection::Keys, hash);
        let write = Write::Put { key: key.clone(), value: encode(record)?, expect };
        let revision = self.registry.commit(vec![write]).await?;
        self.known.put(&key, record.clone(), revision);
        Ok(())
    }
}

// === impl KeyTable ===

impl ProjectedTable for KeyTable {
    type Record = KeyRecord;
    const COLLECTION: Collection = Collection::Keys;

    fn put(&self, key: &Key, record: KeyRecord, revision: u64) -> PortResult<()> {
        let hash = blake3::Hash::from_hex(&key.name).map_err(|_| corrupt(key))?;
        let (name, scopes) = (record.name.clone(), record.scopes.clone());
        let caller = Arc::new(Caller { project: key.project, key: record.id, name, scopes });
        self.0.write().insert(hash, KnownKey { caller, record, revision });
        Ok(())
    }

    fn remove(&self, key: &Key) {
        if let Ok(hash) = blake3::Hash::from_hex(&key.name) {
            self.0.write().remove(&hash);
        }
    }
}

fn refused(message: &str) -> Fault {
    Fault::new(Reason::KeyInvalid, message)
}

fn hash(text: &str) -> blake3::Hash {
    blake3::hash(text.as_bytes())
}

fn checksum(secret: &str) -> String {
    let mut encoded = BASE64_URL_SAFE_NO_PAD.encode(&blake3::hash(secret.as_bytes()).as_bytes()[..5]);
    encoded.truncate(CHECKSUM_CHARS);
    encoded
}

fn is_well_formed(text: &str) -> bool {
    text.strip_prefix(Keys::PREFIX)
        .filter(|rest| rest.is_ascii() && rest.len() == SECRET_CHARS + CHECKSUM_CHARS)
        .is_some_and(|rest| checksum(&rest[..SECRET_CHARS]) == rest[SECRET_CHARS..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_key_is_told_apart_without_a_look_up() {
        let secret = BASE64_URL_SAFE_NO_PAD.encode([7; 32]);
        let text = format!("{}{secret}{}", Keys::PREFIX, checksum(&secret));
        assert!(is_well_formed(&text));
        assert!(!is_well_formed(&text.replacen('B', "C", 1)));
        assert!(!is_well_formed(&text[..text.len() - 1]));
        assert!(!is_well_formed(""));
        assert!(!is_well_formed(&"é".repeat(30)));
    }
}
