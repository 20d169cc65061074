//! The registry in SQLite, with watches fed by its writer.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{Change, Collection, Entry, Expect, Key, PortError, PortResult, Registry, Watch, Write};
use faas_types::ProjectId;
use rusqlite::{Connection, OptionalExtension, params};

use crate::shared::Shared;
use crate::sqlite::{self, WorkResult, id_blob, integer, unsigned};
use crate::watch_hub::WatchHub;

/// Above every character that a name may hold: ends the range of a prefix.
const LAST: char = '\u{7f}';

/// Revisioned entries in `faas.db`.
#[derive(Debug)]
pub(crate) struct SqliteRegistry {
    shared: Arc<Shared>,
    hub: Arc<WatchHub>,
}

/// What a commit did.
struct Committed {
    revision: u64,
    changes: Vec<Change>,
}

// === impl SqliteRegistry ===

impl SqliteRegistry {
    /// A watcher may lag `lag` changes behind.
    pub(crate) fn new(shared: Arc<Shared>, lag: usize) -> Self {
        Self { shared, hub: Arc::new(WatchHub::new(lag)) }
    }

    async fn apply(&self, writes: Vec<Write>) -> PortResult<u64> {
        let hub = Arc::clone(&self.hub);
        let work = move |connection: &Connection| commit(connection, writes);
        let news = move |committed: &Committed| hub.publish(&committed.changes);
        self.shared.main.write(work, news).await.map(|committed| committed.revision)
    }
}

#[async_trait]
impl Registry for SqliteRegistry {
    async fn get(&self, key: &Key) -> PortResult<Option<Entry>> {
        let key = key.clone();
        self.shared.main.read(move |connection| find(connection, key)).await
    }

    async fn get_all(&self, keys: &[Key]) -> PortResult<Vec<Option<Entry>>> {
        let keys = keys.to_vec();
        let work = move |connection: &Connection| keys.into_iter().map(|key| find(connection, key)).collect();
        self.shared.main.read(work).await
    }

    async fn list(
        &self,
        project: ProjectId,
        collection: Collection,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> PortResult<Vec<Entry>> {
        let (prefix, after) = (prefix.to_owned(), after.unwrap_or_default().to_owned());
        let work = move |connection: &Connection| {
            let mut select = connection.prepare_cached(
                "SELECT name, revision, value FROM entries
                 WHERE collection = ?1 AND project = ?2 AND name >= ?3 AND name < ?4 AND name > ?5
                 ORDER BY name LIMIT ?6",
            )?;
            let end = format!("{prefix}{LAST}");
            let rows = select
                .query_map(params![collection.as_str(), id_blob(project), prefix, end, after, limit], |row| {
                    Ok(entry(Key::new(project, collection, row.get::<_, String>(0)?), row.get(1)?, row.get(2)?))
                })?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        self.shared.main.read(work).await
    }

    async fn scan(&self, collection: Collection, after: Option<&Key>, limit: u32) -> PortResult<Vec<Entry>> {
        let (project, name) =
            after.map_or((ProjectId::from_u128(0), String::new()), |key| (key.project, key.name.clone()));
        let work = move |connection: &Connection| {
            let mut select = connection.prepare_cached(
                "SELECT project, name, revision, value FROM entries
                 WHERE collection = ?1 AND (project, name) > (?2, ?3) ORDER BY project, name LIMIT ?4",
            )?;
            let rows = select.query_map(params![collection.as_str(), id_blob(project), name, limit], |row| {
                let key = Key::new(sqlite::id(row.get(0)?), collection, row.get::<_, String>(1)?);
                Ok(entry(key, row.get(2)?, row.get(3)?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        self.shared.main.read(work).await
    }

    async fn commit(&self, writes: Vec<Write>) -> PortResult<u64> {
        Write::validate(&writes)?;
        if writes.iter().any(|write| matches!(write, Write::Put { .. })) {
            self.shared.space.admit()?;
            return self.apply(writes).await;
        }
        self.shared.space.freeing(|| self.apply(writes.clone())).await
    }

    async fn watch(&self, collection: Collection) -> PortResult<Watch> {
        // Subscribed before the snapshot is read: what commits in between is in both, and the snapshot's revision
        // tells which news it holds already.
        let news = self.hub.subscribe(collection);
        let (revision, entries) = self.shared.main.read(move |connection| snapshot(connection, collection)).await?;
        Ok(news.after(revision, entries))
    }
}

fn entry(key: Key, revision: i64, value: Vec<u8>) -> Entry {
    Entry { key, value: Bytes::from(value), revision: unsigned(revision) }
}

fn find(connection: &Connection, key: Key) -> WorkResult<Option<Entry>> {
    let mut select = connection
        .prepare_cached("SELECT revision, value FROM entries WHERE collection = ?1 AND project = ?2 AND name = ?3")?;
    let found = select
        .query_row(params![key.collection.as_str(), id_blob(key.project), key.name], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    Ok(found.map(|(revision, value)| entry(key, revision, value)))
}

fn snapshot(connection: &Connection, collection: Collection) -> WorkResult<(u64, Vec<Entry>)> {
    let transaction = connection.unchecked_transaction()?;
    let revision: i64 = transaction
        .prepare_cached("SELECT value FROM counters WHERE name = 'revision'")?
        .query_row([], |row| row.get(0))?;
    let mut select = transaction.prepare_cached(
        "SELECT project, name, revision, value FROM entries WHERE collection = ?1 ORDER BY project, name",
    )?;
    let rows = select.query_map([collection.as_str()], |row| {
        let key = Key::new(sqlite::id(row.get(0)?), collection, row.get::<_, String>(1)?);
        Ok(entry(key, row.get(2)?, row.get(3)?))
    })?;
    Ok((unsigned(revision), rows.collect::<Result<_, _>>()?))
}

fn commit(connection: &Connection, writes: Vec<Write>) -> WorkResult<Committed> {
    for write in &writes {
        meets_expectation(connection, write)?;
    }
    let revision: i64 = connection
        .prepare_cached("UPDATE counters SET value = value + 1 WHERE name = 'revision' RETURNING value")?
        .query_row([], |row| row.get(0))?;
    let mut changes = Vec::with_capacity(writes.len());
    for write in writes {
        changes.extend(write_one(connection, write, revision)?);
    }
    Ok(Committed { revision: unsigned(revision), changes })
}

fn meets_expectation(connection: &Connection, write: &Write) -> WorkResult<()> {
    let wanted = match write.expect() {
        Expect::Any => return Ok(()),
        Expect::Absent => None,
        Expect::Revision(revision) => Some(integer(revision)),
    };
    let key = write.key();
    let found: Option<i64> = connection
        .prepare_cached("SELECT revision FROM entries WHERE collection = ?1 AND project = ?2 AND name = ?3")?
        .query_row(params![key.collection.as_str(), id_blob(key.project), key.name], |row| row.get(0))
        .optional()?;
    if found == wanted { Ok(()) } else { Err(PortError::Conflict { key: key.clone() }.into()) }
}

/// Returns what watchers see: nothing when there was nothing to delete.
fn write_one(connection: &Connection, write: Write, revision: i64) -> WorkResult<Option<Change>> {
    match write {
        Write::Put { key, value, .. } => {
            connection
                .prepare_cached(
                    "INSERT INTO entries (collection, project, name, revision, value) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (collection, project, name) DO UPDATE SET revision = ?4, value = ?5",
                )?
                .execute(params![key.collection.as_str(), id_blob(key.project), key.name, revision, &value[..]])?;
            Ok(Some(Change::Put(Entry { key, value, revision: unsigned(revision) })))
        }
        Write::Delete { key, .. } => {
            let gone = connection
                .prepare_cached("DELETE FROM entries WHERE collection = ?1 AND project = ?2 AND name = ?3")?
                .execute(params![key.collection.as_str(), id_blob(key.project), key.name])?;
            Ok((gone > 0).then(|| Change::Deleted { key, revision: unsigned(revision) }))
        }
    }
}
