//! Revisioned key-value state with compare-and-set and watch: functions, versions, deployments, keys.

use std::collections::HashSet;

use async_trait::async_trait;
use bytes::Bytes;
use faas_types::ProjectId;
use futures_util::stream::BoxStream;

use crate::{Collection, Key, PortError, PortResult};

/// Bytes of one value.
pub const VALUE_MAX: usize = 1 << 20;
/// Writes in one commit.
pub const COMMIT_MAX: usize = 1000;

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: Key,
    /// Its value; adapters store it as it is. At most [`VALUE_MAX`].
    pub value: Bytes,
    /// Rises with every commit of the store; unique per commit, shared by the writes of one commit.
    pub revision: u64,
}

/// What a write demands of the key's present state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// That the key does not exist.
    Absent,
    /// That the key's entry is at this revision.
    Revision(u64),
}

/// One change of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets the value.
    Put {
        /// The key.
        key: Key,
        /// The new value.
        value: Bytes,
        /// What must hold before.
        expect: Expect,
    },
    /// Removes the entry; removing what does not exist is no error unless `expect` says so.
    Delete {
        /// The key.
        key: Key,
        /// What must hold before.
        expect: Expect,
    },
}

/// What a watcher sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An entry is there with this value.
    Put(Entry),
    /// An entry is gone.
    Deleted {
        /// Its key.
        key: Key,
        /// The commit that removed it.
        revision: u64,
    },
    /// Everything that existed when the watch began has been told; what follows is news.
    Synced,
    /// The watcher was too slow and missed changes: it must watch anew. The stream ends.
    Lagged,
}

/// A stream of changes, in commit order.
pub type Watch = BoxStream<'static, Change>;

/// Revisioned state. A commit is durable when it returns.
#[async_trait]
pub trait Registry: Send + Sync {
    /// One entry.
    async fn get(&self, key: &Key) -> PortResult<Option<Entry>>;

    /// Several entries, in the order of the keys; for pages, where one question each would cost too much.
    async fn get_all(&self, keys: &[Key]) -> PortResult<Vec<Option<Entry>>> {
        let mut entries = Vec::with_capacity(keys.len());
        for key in keys {
            entries.push(self.get(key).await?);
        }
        Ok(entries)
    }

    /// Entries of a collection whose names start with `prefix` and sort after `after`, by name, `limit` at most.
    async fn list(
        &self,
        project: ProjectId,
        collection: Collection,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> PortResult<Vec<Entry>>;

    /// Entries of a collection over all projects, by project and name, after this key.
    async fn scan(&self, collection: Collection, after: Option<&Key>, limit: u32) -> PortResult<Vec<Entry>>;

    /// Applies all writes or none, fsynced, and returns the commit's revision.
    ///
    /// # Errors
    /// [`PortError::Conflict`](crate::PortError::Conflict) naming the first key whose expectation fails;
    /// [`PortError::Invalid`](crate::PortError::Invalid) for what [`Write::validate`] refuses.
    async fn commit(&self, writes: Vec<Write>) -> PortResult<u64>;

    /// All entries of a collection over all projects, then [`Change::Synced`], then every later change.
    async fn watch(&self, collection: Collection) -> PortResult<Watch>;
}

// === impl Write ===

impl Write {
    /// The key that is written.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    /// What every adapter demands of a commit: 1 to [`COMMIT_MAX`] writes, valid keys, each once, and values within
    /// [`VALUE_MAX`].
    ///
    /// # Errors
    /// [`PortError::Invalid`] with the first rule that is broken.
    pub fn validate(writes: &[Self]) -> PortResult<()> {
        let refuse = |why: String| Err(PortError::Invalid(why));
        if !(1..=COMMIT_MAX).contains(&writes.len()) {
            return refuse(format!("a commit has 1 to {COMMIT_MAX} writes, not {}", writes.len()));
        }
        let mut keys = HashSet::with_capacity(writes.len());
        for write in writes {
            let key = write.key();
            if !key.is_valid() {
                return refuse(format!("`{}` cannot name an entry", key.name.escape_default()));
            }
            if !keys.insert(key) {
                return refuse(format!("`{}` is written twice in one commit", key.name));
            }
            if let Self::Put { value, .. } = write
                && value.len() > VALUE_MAX
            {
                return refuse(format!("the value of `{}` is larger than {VALUE_MAX} bytes", key.name));
            }
        }
        Ok(())
    }

    /// What must hold before.
    #[must_use]
    pub fn expect(&self) -> Expect {
        match self {
            Self::Put { expect, .. } | Self::Delete { expect, .. } => *expect,
        }
    }
}
