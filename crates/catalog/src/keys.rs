//! API keys: `faas_` + 43 random characters + a checksum of 6, all base64url. Stored as a hash.
//!
//! The checksum lets scanners and ourselves tell a mistyped key from a wrong one without a look-up. The 256 random
//! bits make a plain BLAKE3 hash safe to store and quick to check.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use faas_ports::{Clock, Collection, Expect, IdSource, Key, PortResult, Registry, Write};
use faas_types::{Fault, KeyId, ProjectId, Reason};
use parking_lot::RwLock;
use tokio_util::task::AbortOnDropHandle;

use crate::caller::Caller;
use crate::key_record::{KeyRecord, KeySettings};
use crate::key_uses::{KeyUses, LastUse};
use crate::projection::{ProjectedTable, Projection, ProjectionStatus};
use crate::records::{corrupt, encode};

const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
/// Characters of a key that are shown to tell keys apart; too few to guess the rest.
const SHOWN_CHARS: usize = 12;
/// How often the last uses of keys are written down.
const KEEP_USES_EVERY: Duration = Duration::from_secs(60);

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
    uses: Arc<KeyUses>,
    _keeping: AbortOnDropHandle<()>,
}

/// Keys by the hash of their text.
struct KeyTable {
    by_hash: RwLock<HashMap<blake3::Hash, KnownKey>>,
    uses: Arc<KeyUses>,
}

/// A key in memory.
struct KnownKey {
    caller: Arc<Caller>,
    record: KeyRecord,
    revision: u64,
    last_use: Arc<LastUse>,
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
        let uses = Arc::new(KeyUses::load(Arc::clone(&registry)).await?);
        let table = KeyTable { by_hash: RwLock::default(), uses: Arc::clone(&uses) };
        let known = Projection::start(Arc::clone(&registry), table).await?;
        let keeping = AbortOnDropHandle::new(tokio::spawn(keep_uses(Arc::clone(&uses))));
        Ok(Arc::new(Self { registry, clock, ids, known, uses, _keeping: keeping }))
    }

    /// Whether the keys are current.
    pub fn status(&self) -> ProjectionStatus {
        self.known.status()
    }

    /// Writes down when keys were last used; called at the end too.
    pub async fn keep_uses(&self) {
        if let Err(error) = self.uses.keep().await {
            tracing::warn!(%error, "the last uses of keys are not kept");
        }
    }

    /// Makes and stores a key, with this id where one is given.
    ///
    /// # Errors
    /// `FN_006` for settings that cannot be; when it cannot be stored.
    pub async fn mint(&self, project: ProjectId, settings: KeySettings, id: Option<KeyId>) -> Result<MintedKey, Fault> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| Fault::internal(format!("no random numbers: {error}")))?;
        let secret = BASE64_URL_SAFE_NO_PAD.encode(random);
        let text = format!("{}{secret}{}", Keys::PREFIX, checksum(&secret));
        let now = self.clock.now();
        let record = KeyRecord {
            id: id.unwrap_or_else(|| self.ids.mint(now)),
            prefix: text[..SHOWN_CHARS].to_owned(),
            settings: settings.checked(now)?,
            created_at: now,
            revoked_at: None,
            last_used_at: None,
        };
        self.store(project, hash(&text).to_hex().to_string(), &record, Expect::Absent).await?;
        Ok(MintedKey { text, record })
    }

    /// Changes what people choose of a key, in force at once. Returns it with its revision.
    ///
    /// # Errors
    /// `FN_013` when the project has no such key or it was revoked, `FN_006` for settings that cannot be, what `change` refuses,
    /// `FN_014` when somebody else changed it at the same time.
    pub async fn change(
        &self,
        project: ProjectId,
        id: KeyId,
        change: impl FnOnce(KeySettings) -> Result<KeySettings, Fault>,
    ) -> Result<KeyRecord, Fault> {
        let (hash, mut record, revision) = self.found(project, id)?;
        let ended = record.settings.expires_at;
        record.settings = change(record.settings)?;
        // What has ended stays as it is while its name changes.
        let now = if record.settings.expires_at == ended { record.created_at } else { self.clock.now() };
        record.settings = record.settings.checked(now)?;
        self.store(project, hash, &record, Expect::Revision(revision)).await?;
        Ok(record)
    }

    /// Revokes a key; what it may do ends at once.
    ///
    /// # Errors
    /// `FN_013` when the project has no such key.
    pub async fn revoke(&self, project: ProjectId, id: KeyId) -> Result<(), Fault> {
        let (hash, mut record, revision) = self.found(project, id)?;
        record.revoked_at = Some(self.clock.now());
        self.store(project, hash, &record, Expect::Revision(revision)).await
    }

    /// A key of a project.
    ///
    /// # Errors
    /// `FN_013` when the project has no such key.
    pub fn get(&self, project: ProjectId, id: KeyId) -> Result<KeyRecord, Fault> {
        let known = self.known.table().by_hash.read();
        let found = known.values().find(|key| key.caller.project == project && key.record.id == id);
        found.map(KnownKey::shown).ok_or_else(|| Fault::new(Reason::KeyNotFound, format!("no key `{id}`")))
    }

    /// A key that was not revoked, with the hash that it is stored under and its revision.
    fn found(&self, project: ProjectId, id: KeyId) -> Result<(String, KeyRecord, u64), Fault> {
        let known = self.known.table().by_hash.read();
        let found = known.iter().find(|(_, key)| key.caller.project == project && key.record.id == id);
        let (hash, key) = found.ok_or_else(|| Fault::new(Reason::KeyNotFound, format!("no key `{id}`")))?;
        if key.record.revoked_at.is_some() {
            return Err(Fault::new(Reason::KeyNotFound, format!("the key `{id}` was revoked before")));
        }
        Ok((hash.to_hex().to_string(), key.shown(), key.revision))
    }

    /// The project's keys, newest first.
    #[must_use]
    pub fn list(&self, project: ProjectId) -> Vec<KeyRecord> {
        let known = self.known.table().by_hash.read();
        let of_project = known.values().filter(|key| key.caller.project == project);
        let mut records: Vec<KeyRecord> = of_project.map(KnownKey::shown).collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.id));
        records
    }

    /// Who a key's text belongs to.
    ///
    /// # Errors
    /// `FN_010`, saying whether the text is malformed, unknown, revoked or past its end.
    pub fn authenticate(&self, text: &str) -> Result<Arc<Caller>, Fault> {
        match self.known.table().by_hash.read().get(&hash(text)) {
            Some(key) if key.record.revoked_at.is_none() => {
                let now = self.clock.now();
                if let Some(end) = key.record.settings.expires_at.filter(|end| *end <= now) {
                    return Err(Fault::new(Reason::KeyExpired, format!("the key ended at {end}")).with_command_hint(format!(
                        "get another from an admin, who moves its end with `faas keys update {} --expires 90d`",
                        key.record.id
                    )));
                }
                key.last_use.note(now);
                Ok(Arc::clone(&key.caller))
            }
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
        let KeySettings { name, scopes, functions, .. } = record.settings.clone();
        let caller = Arc::new(Caller { project: key.project, key: record.id, name, scopes, functions });
        let last_use = self.uses.of(key.project, record.id);
        self.by_hash.write().insert(hash, KnownKey { caller, record, revision, last_use });
        Ok(())
    }

    fn remove(&self, key: &Key) {
        if let Ok(hash) = blake3::Hash::from_hex(&key.name) {
            self.by_hash.write().remove(&hash);
        }
    }
}

// === impl KnownKey ===

impl KnownKey {
    fn shown(&self) -> KeyRecord {
        KeyRecord { last_used_at: self.last_use.at(), ..self.record.clone() }
    }
}

/// Writes down last uses until it is aborted.
async fn keep_uses(uses: Arc<KeyUses>) {
    loop {
        tokio::time::sleep(KEEP_USES_EVERY).await;
        if let Err(error) = uses.keep().await {
            tracing::warn!(%error, "the last uses of keys are not kept");
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
