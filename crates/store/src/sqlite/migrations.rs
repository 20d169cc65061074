//! Schema changes, counted by `user_version`.

use std::path::Path;

use rusqlite::Connection;

use crate::StoreError;

/// Brings a database to the newest schema. Each migration is its own transaction, so that an interrupted start
/// continues where it ended.
pub(super) fn migrate(connection: &Connection, path: &Path, migrations: &[&str]) -> Result<(), StoreError> {
    let failed = || StoreError::database("cannot migrate the database", path);
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed())?;
    let supported = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let done = match usize::try_from(found) {
        Ok(done) if done <= migrations.len() => done,
        _ => return Err(StoreError::NewerDatabase { file: path.to_owned(), found, supported }),
    };
    for (index, migration) in migrations.iter().enumerate().skip(done) {
        let apply = || -> rusqlite::Result<()> {
            let transaction = connection.unchecked_transaction()?;
            transaction.execute_batch(migration)?;
            transaction.execute_batch(&format!("PRAGMA user_version = {}", index + 1))?;
            transaction.commit()
        };
        apply().map_err(failed())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE a (x) STRICT;";
    const A: &str = "CREATE TABLE a (x INTEGER) STRICT;";
    const B: &str = "CREATE TABLE b (x INTEGER) STRICT;";

    fn version(connection: &Connection) -> i64 {
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("user_version")
    }

    #[test]
    fn each_migration_runs_once() {
        let connection = Connection::open_in_memory().expect("open");
        migrate(&connection, Path::new("x.db"), &[A]).expect("first");
        migrate(&connection, Path::new("x.db"), &[A, B]).expect("second");
        migrate(&connection, Path::new("x.db"), &[A, B]).expect("nothing left");
        assert_eq!(version(&connection), 2);
    }

    #[test]
    fn a_failed_migration_leaves_the_one_before() {
        let connection = Connection::open_in_memory().expect("open");
        let broken = "CREATE TABLE c (x INTEGER) STRICT; nonsense;";
        migrate(&connection, Path::new("x.db"), &[A, broken]).expect_err("broken");
        assert_eq!(version(&connection), 1);
        let left: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'c'", [], |row| row.get(0))
            .expect("count");
        assert_eq!(left, 0);
        assert!(migrate(&Connection::open_in_memory().expect("open"), Path::new("x.db"), &[FIRST]).is_err());
    }

    #[test]
    fn a_database_from_the_future_is_refused() {
        let connection = Connection::open_in_memory().expect("open");
        connection.execute_batch("PRAGMA user_version = 3").expect("set");
        let refused = migrate(&connection, Path::new("x.db"), &[A, B]);
        assert!(matches!(refused, Err(StoreError::NewerDatabase { found: 3, supported: 2, .. })));
    }
}
