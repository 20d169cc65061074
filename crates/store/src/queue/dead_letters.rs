//! Runs that were given up, and the inputs of runs, in SQLite.

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{DeadLetter, DeadLetterQuery, DeadLetters, PortResult, Removed};
use faas_types::{ProjectId, RunId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::queue::{SqliteQueue, kept};
use crate::run_filter::{code_number, first_id};
use crate::run_rows::decode;
use crate::sqlite::{self, WorkResult, id_blob, millis, timestamp};

#[async_trait]
impl DeadLetters for SqliteQueue {
    async fn dead_letters(&self, query: &DeadLetterQuery) -> PortResult<Vec<DeadLetter>> {
        let query = query.clone();
        self.shared.main.read(move |connection| page(connection, &query)).await
    }

    async fn dead_letter(&self, project: ProjectId, run: RunId) -> PortResult<Option<DeadLetter>> {
        let work = move |connection: &Connection| {
            let sql = format!("{SELECT} AND d.run = ?2");
            let mut select = connection.prepare_cached(&sql)?;
            let found = select.query_row(params![id_blob(project), id_blob(run)], columns).optional()?;
            found.map(letter).transpose()
        };
        self.shared.main.read(work).await
    }

    async fn purge(&self, project: ProjectId, runs: Vec<RunId>) -> PortResult<Removed> {
        let purge = || {
            let runs = runs.clone();
            let work = move |connection: &Connection| {
                let mut removed = Removed::default();
                for run in &runs {
                    forget(connection, id_blob(project), id_blob(*run), &mut removed)?;
                }
                Ok(removed)
            };
            self.shared.main.write(work, |_| {})
        };
        self.shared.space.freeing(purge).await
    }

    async fn input(&self, project: ProjectId, run: RunId) -> PortResult<Option<Bytes>> {
        let work = move |connection: &Connection| {
            let mut select = connection.prepare_cached("SELECT input FROM inputs WHERE project = ?1 AND run = ?2")?;
            let input: Option<Vec<u8>> =
                select.query_row(params![id_blob(project), id_blob(run)], |row| row.get(0)).optional()?;
            Ok(input.map(Bytes::from))
        };
        self.shared.main.read(work).await
    }

    async fn inputs(
        &self,
        after: Option<(ProjectId, RunId)>,
        limit: u32,
    ) -> PortResult<Vec<(ProjectId, RunId, Bytes)>> {
        let (project, run) = after.unwrap_or((ProjectId::from_u128(0), RunId::from_u128(0)));
        let work = move |connection: &Connection| {
            let mut select = connection.prepare_cached(
                "SELECT project, run, input FROM inputs WHERE (project, run) > (?1, ?2) ORDER BY project, run LIMIT ?3",
            )?;
            let rows = select.query_map(params![id_blob(project), id_blob(run), limit], |row| {
                Ok((sqlite::id(row.get(0)?), sqlite::id(row.get(1)?), Bytes::from(row.get::<_, Vec<u8>>(2)?)))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        self.shared.main.read(work).await
    }

    async fn expire_dead(&self, project: ProjectId, before: Timestamp, limit: u32) -> PortResult<Removed> {
        let project = id_blob(project);
        let expire = || self.shared.main.write(move |connection| expire(connection, project, before, limit), |_| {});
        self.shared.space.freeing(expire).await
    }
}

const SELECT: &str = "SELECT r.record, d.reason, d.died_at
     FROM dead_letters AS d JOIN runs AS r ON r.project = d.project AND r.id = d.run WHERE d.project = ?1";

fn page(connection: &Connection, query: &DeadLetterQuery) -> WorkResult<Vec<DeadLetter>> {
    let mut sql = SELECT.to_owned();
    let blob = |bytes: [u8; 16]| Value::Blob(bytes.to_vec());
    let mut values = vec![blob(id_blob(query.project))];
    let mut also = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            sql.push_str(condition);
            values.push(value);
        }
    };
    also(" AND d.function = ?", query.function.map(|id| blob(id_blob(id))));
    also(" AND d.code = ?", query.code.map(|code| code_number(code).into()));
    also(" AND d.run >= ?", query.since.map(|since| blob(first_id(since))));
    also(" AND d.run < ?", query.until.map(|until| blob(first_id(until))));
    also(" AND d.run < ?", query.after.map(|after| blob(id_blob(after))));
    also(" ORDER BY d.run DESC LIMIT ?", Some(i64::from(query.limit).into()));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), columns)?;
    rows.map(|row| letter(row?)).collect()
}

fn columns(row: &Row<'_>) -> rusqlite::Result<(String, String, i64)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn letter((json, reason, died_at): (String, String, i64)) -> WorkResult<DeadLetter> {
    Ok(DeadLetter { record: decode(&json)?, reason, died_at: timestamp(died_at) })
}

fn forget(connection: &Connection, project: [u8; 16], run: [u8; 16], removed: &mut Removed) -> WorkResult<()> {
    let function: Option<[u8; 16]> = connection
        .prepare_cached("DELETE FROM dead_letters WHERE project = ?1 AND run = ?2 RETURNING function")?
        .query_row(params![project, run], |row| row.get(0))
        .optional()?;
    if let Some(function) = function {
        removed.rows += 1;
        removed.freed.extend(kept::forget_dead(connection, project, function, run)?);
    }
    Ok(())
}

fn expire(connection: &Connection, project: [u8; 16], before: Timestamp, limit: u32) -> WorkResult<Removed> {
    let letters = connection
        .prepare_cached(
            "DELETE FROM dead_letters WHERE (project, run) IN (
                 SELECT project, run FROM dead_letters INDEXED BY dead_letters_age
                 WHERE died_at < ?1 AND project = ?3 ORDER BY died_at LIMIT ?2)",
        )?
        .execute(params![millis(before), limit, project])?;
    let (inputs, freed) = kept::expire(connection, project, before, limit)?;
    Ok(Removed { rows: letters as u64 + inputs, freed })
}
