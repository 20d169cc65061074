//! Opening connections.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::StoreError;

/// Older releases can lose a WAL commit that races with a checkpoint.
const SQLITE_MIN: (i32, &str) = (3_051_003, "3.51.3");
/// How long a connection waits for a lock that a database shell may hold.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept by each connection.
const STATEMENTS: usize = 64;

/// What a commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A power cut: the write-ahead log is fsynced by each commit.
    PowerCut,
    /// The end of the process. A power cut may take the newest commits with it, but never consistency.
    ProcessEnd,
}

/// Opens the one connection that writes; makes the file first when it is absent.
pub(super) fn open_writer(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    require_sqlite()?;
    // Made here, because SQLite would make it readable by everybody and gives its other files the same mode.
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(StoreError::io("cannot open the database", path))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(StoreError::database("cannot open the database", path))?;
    let synchronous = match durability {
        Durability::PowerCut => "FULL",
        Durability::ProcessEnd => "NORMAL",
    };
    let configure = || -> rusqlite::Result<String> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        keep_plans(&connection)?;
        give_back_free_pages(&connection)?;
        let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        connection.execute_batch(&format!(
            "PRAGMA synchronous = {synchronous};
             PRAGMA foreign_keys = ON;
             PRAGMA trusted_schema = OFF;
             PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -8192;
             PRAGMA wal_autocheckpoint = 4000;
             PRAGMA journal_size_limit = 67108864;"
        ))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(mode)
    };
    match configure().map_err(StoreError::database("cannot configure the database", path))?.as_str() {
        "wal" => Ok(connection),
        mode => Err(StoreError::Damaged {
            file: path.to_owned(),
            detail: format!("its journal mode is {mode} where write-ahead logging is needed"),
        }),
    }
}

/// Lets free pages be given back in small steps. A file that was made without this is written anew once.
fn give_back_free_pages(connection: &Connection) -> rusqlite::Result<()> {
    const INCREMENTAL: i64 = 2;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    if number("PRAGMA auto_vacuum")? == INCREMENTAL {
        return Ok(());
    }
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    match number("PRAGMA page_count")? {
        0 => Ok(()),
        _ => connection.execute_batch("VACUUM"),
    }
}

/// Opens a connection that cannot write.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    keep_plans(&connection)?;
    connection.execute_batch(
        "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -2048;",
    )?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Otherwise SQLite plans a statement anew each time another value is bound to its `LIMIT`.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

fn require_sqlite() -> Result<(), StoreError> {
    if rusqlite::version_number() >= SQLITE_MIN.0 {
        return Ok(());
    }
    Err(StoreError::OldSqlite { found: rusqlite::version(), wanted: SQLITE_MIN.1 })
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_planned_once() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("db");
        let writer = open_writer(&path, Durability::PowerCut).expect("open");
        writer.execute_batch("CREATE TABLE t (a INTEGER, b INTEGER); CREATE INDEX t_a ON t (a)").expect("create");
        for connection in [writer, open_reader(&path).expect("open")] {
            let mut select = connection.prepare("SELECT b FROM t WHERE a = ?1 ORDER BY a LIMIT ?2").expect("prepare");
            for limit in 1..5 {
                assert!(!select.exists([7, limit]).expect("select"));
            }
            assert_eq!(select.get_status(StatementStatus::RePrepare), 0);
        }
    }
}
