//! When keys were last used: noted in memory by requests, kept in the registry from time to time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faas_ports::{COMMIT_MAX, Collection, Expect, Key, PortResult, Registry, Write};
use faas_types::{Fault, KeyId, ProjectId, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::records::{decode, encode};

/// A use is noted when it comes this long after the one that is noted: every request would write to memory that all cores read.
const RESOLUTION_MS: u64 = 1_000;
/// Entries that one read of the registry brings.
const PAGE: u32 = 1_000;

/// The last uses of all keys.
pub(crate) struct KeyUses {
    registry: Arc<dyn Registry>,
    by_key: Mutex<HashMap<KeyId, Arc<LastUse>>>,
}

/// When a key was last used, in milliseconds since 1970; zero is never.
#[derive(Debug)]
pub(crate) struct LastUse {
    noted: AtomicU64,
    kept: AtomicU64,
    project: ProjectId,
}

/// A last use as the registry keeps it.
#[derive(Serialize, Deserialize)]
struct UseRecord {
    at: Timestamp,
}

// === impl LastUse ===

impl LastUse {
    /// Takes note of a request.
    pub(crate) fn note(&self, now: Timestamp) {
        if now.as_millis() >= self.noted.load(Ordering::Relaxed).saturating_add(RESOLUTION_MS) {
            self.noted.store(now.as_millis(), Ordering::Relaxed);
        }
    }

    /// The last request.
    pub(crate) fn at(&self) -> Option<Timestamp> {
        let noted = self.noted.load(Ordering::Relaxed);
        (noted > 0).then(|| Timestamp::from_millis(noted))
    }
}

// === impl KeyUses ===

impl KeyUses {
    /// Reads what is kept.
    pub(crate) async fn load(registry: Arc<dyn Registry>) -> PortResult<Self> {
        let mut by_key = HashMap::new();
        let mut after: Option<Key> = None;
        loop {
            let page = registry.scan(Collection::KeyUses, after.as_ref(), PAGE).await?;
            for entry in &page {
                let Ok(id) = entry.key.name.parse::<KeyId>() else { continue };
                let at = decode::<UseRecord>(&entry.key, &entry.value)?.at.as_millis();
                let project = entry.key.project;
                by_key.insert(id, Arc::new(LastUse { noted: at.into(), kept: at.into(), project }));
            }
            match page.into_iter().last() {
                Some(last) => after = Some(last.key),
                None => return Ok(Self { registry, by_key: Mutex::new(by_key) }),
            }
        }
    }

    /// The last use of a key, to take note in.
    pub(crate) fn of(&self, project: ProjectId, key: KeyId) -> Arc<LastUse> {
        let mut by_key = self.by_key.lock();
        let fresh = || Arc::new(LastUse { noted: AtomicU64::default(), kept: AtomicU64::default(), project });
        Arc::clone(by_key.entry(key).or_insert_with(fresh))
    }

    /// Keeps what was noted since the last time.
    pub(crate) async fn keep(&self) -> Result<(), Fault> {
        let all = self.by_key.lock().iter().map(|(id, last)| (*id, Arc::clone(last))).collect::<Vec<_>>();
        let news = all.into_iter().filter_map(|(id, last)| {
            let noted = last.noted.load(Ordering::Relaxed);
            (noted > last.kept.load(Ordering::Relaxed)).then_some((id, last, noted))
        });
        for batch in news.collect::<Vec<_>>().chunks(COMMIT_MAX) {
            let write = |(id, last, noted): &(KeyId, Arc<LastUse>, u64)| {
                let value = encode(&UseRecord { at: Timestamp::from_millis(*noted) })?;
                let key = Key::new(last.project, Collection::KeyUses, id.to_string());
                Ok::<_, Fault>(Write::Put { key, value, expect: Expect::Any })
            };
            self.registry.commit(batch.iter().map(write).collect::<Result<_, _>>()?).await?;
            batch.iter().for_each(|(_, last, noted)| last.kept.store(*noted, Ordering::Relaxed));
        }
        Ok(())
    }
}
