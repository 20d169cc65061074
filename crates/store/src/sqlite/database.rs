//! One database file with its writer and its readers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use faas_ports::PortResult;
use rusqlite::Connection;

use super::connection::{Durability, open_writer};
use super::migrations::migrate;
use super::readers::Readers;
use super::writer::{Writer, WriterHooks};
use super::{WorkError, WorkResult};
use crate::StoreError;

/// What a [`Database`] is made of.
pub(crate) struct DatabaseConfig<'a> {
    /// The file.
    pub(crate) path: &'a Path,
    /// Its schema, oldest change first.
    pub(crate) migrations: &'a [&'a str],
    /// Mends what a server that was killed left behind; called once, before anything else.
    pub(crate) recover: fn(&Connection) -> rusqlite::Result<()>,
    /// What its commits survive.
    pub(crate) durability: Durability,
    /// Reads at once.
    pub(crate) readers: usize,
    /// Commands that may wait for the writer.
    pub(crate) queue: usize,
    /// Called by the writer.
    pub(crate) hooks: WriterHooks,
}

/// A database file.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    writer: Writer,
    readers: Arc<Readers>,
}

// === impl Database ===

impl Database {
    pub(crate) fn open(config: DatabaseConfig<'_>) -> Result<Self, StoreError> {
        let connection = open_writer(config.path, config.durability)?;
        migrate(&connection, config.path, config.migrations)?;
        (config.recover)(&connection).map_err(StoreError::database("cannot mend the database", config.path))?;
        Ok(Self {
            path: config.path.to_owned(),
            readers: Arc::new(Readers::new(config.path, config.readers)),
            writer: Writer::start(connection, config.path, config.queue, config.hooks)?,
        })
    }

    /// Runs `work` in the next transaction and answers when that is durable. `news` runs on the writer's thread
    /// between the commit and the answer, in commit order. Once accepted, the command runs even if the caller goes.
    pub(crate) async fn write<T, W, N>(&self, work: W, news: N) -> PortResult<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> WorkResult<T> + Send + 'static,
        N: FnOnce(&T) + Send + 'static,
    {
        self.writer.submit(work, news).await
    }

    /// Runs `work` on a reader's connection.
    pub(crate) async fn read<T, F>(&self, work: F) -> PortResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> WorkResult<T> + Send + 'static,
    {
        self.readers.read(work).await
    }

    /// Reads every page and checks that the file is sound. Takes seconds for each gigabyte.
    pub(crate) async fn check(&self) -> PortResult<()> {
        let path = self.path.clone();
        self.read(move |connection| {
            let outcome: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if outcome == "ok" {
                return Ok(());
            }
            let what = format!("the database {} ({outcome})", path.display());
            Err(WorkError::Refused(faas_ports::PortError::Corrupt { what }))
        })
        .await
    }

    /// Refuses further commands, finishes those that wait, and ends the writer. Blocks.
    pub(crate) fn stop(&self) {
        self.writer.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use faas_ports::PortError;
    use parking_lot::Mutex;

    use super::*;

    const SCHEMA: &[&str] = &["CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT;"];

    /// A database with the messages of its fatal hook.
    fn open(dir: &Path, queue: usize) -> (Arc<Database>, Arc<Mutex<Vec<String>>>) {
        let fatal: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&fatal);
        let database = Database::open(DatabaseConfig {
            path: &dir.join("t.db"),
            migrations: SCHEMA,
            recover: |_| Ok(()),
            durability: Durability::PowerCut,
            readers: 2,
            queue,
            hooks: WriterHooks {
                fatal: Arc::new(move |message| heard.lock().push(message.to_owned())),
                full: Box::new(|| {}),
            },
        });
        (Arc::new(database.expect("open")), fatal)
    }

    async fn insert(database: &Database, n: i64) -> PortResult<()> {
        let work = move |connection: &Connection| {
            connection.prepare_cached("INSERT INTO t VALUES (?1)")?.execute([n])?;
            // Refused after it has written: the savepoint must undo that.
            if n % 3 == 0 { Err(PortError::Closed("test").into()) } else { Ok(()) }
        };
        database.write(work, |()| {}).await
    }

    async fn count(database: &Database) -> i64 {
        let work = |connection: &Connection| Ok(connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?);
        database.read(work).await.expect("read")
    }

    #[tokio::test]
    async fn a_refused_command_leaves_the_rest_of_its_group_alone() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (database, fatal) = open(dir.path(), 8);
        let all = futures_util::future::join_all((1..=300).map(|n| insert(&database, n))).await;
        assert_eq!(all.iter().filter(|done| done.is_ok()).count(), 200);
        assert_eq!(count(&database).await, 200);
        assert!(insert(&database, 1).await.is_err(), "a constraint fails its own command");
        assert_eq!(count(&database).await, 200);
        assert!(fatal.lock().is_empty());
        for name in ["t.db", "t.db-wal", "t.db-shm"] {
            let mode = fs::metadata(dir.path().join(name)).expect("the file is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[tokio::test]
    async fn news_come_in_commit_order_and_before_the_answer() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (database, _) = open(dir.path(), 64);
        let told: Arc<Mutex<Vec<i64>>> = Arc::default();
        let write = |n: i64| {
            let (database, told) = (Arc::clone(&database), Arc::clone(&told));
            async move {
                let news = Arc::clone(&told);
                let work = |connection: &Connection| {
                    connection.execute("INSERT INTO t VALUES (NULL)", [])?;
                    Ok(connection.last_insert_rowid())
                };
                let row = database.write(work, move |row| news.lock().push(*row)).await.expect("write");
                assert!(told.lock().contains(&row), "answered before it was told ({n})");
            }
        };
        futures_util::future::join_all((0..200).map(write)).await;
        assert_eq!(*told.lock(), (1..=200).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_panic_of_the_writer_is_fatal_and_ends_all_waits() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (database, fatal) = open(dir.path(), 8);
        let panics = |_: &Connection| -> WorkResult<()> { panic!("this panic is part of the test") };
        let lost = database.write(panics, |()| {}).await;
        assert!(matches!(lost, Err(PortError::Closed(_))), "{lost:?}");
        let later = insert(&database, 1).await;
        assert!(matches!(later, Err(PortError::Closed(_))), "{later:?}");
        assert_eq!(count(&database).await, 0, "reads go on");
        database.stop();
        assert_eq!(fatal.lock().len(), 1);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_loses_nothing() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (database, _) = open(dir.path(), 8);
        let call = insert(&database, 1);
        // Polled once, which hands the command over, and dropped.
        let _ = futures_util::FutureExt::now_or_never(call);
        insert(&database, 2).await.expect("insert");
        assert_eq!(count(&database).await, 2);
        database.stop();
        assert!(matches!(insert(&database, 4).await, Err(PortError::Closed(_))));
    }
}
