//! Runs in `faas.db`; their log lines are in a database of their own.

use std::sync::Arc;

use async_trait::async_trait;
use faas_ports::{LogPage, LogQuery, PortError, PortResult, RunHistory, RunPage, RunQuery};
use faas_types::{LogLine, ProjectId, RunId, RunRecord, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::logs;
use crate::queue::waiting;
use crate::run_filter::{RunSelect, code_number, first_id, state_number};
use crate::sqlite::{WorkResult, id_blob};
use crate::store::Core;

/// Runs and log lines.
#[derive(Debug)]
pub(crate) struct SqliteHistory {
    core: Arc<Core>,
}

/// A run with its encoded form.
pub(crate) struct Row {
    pub(crate) run: RunRecord,
    pub(crate) json: String,
}

// === impl Row ===

impl Row {
    /// Encodes on the caller's thread: the writer's is the scarce one.
    pub(crate) fn new(run: RunRecord) -> PortResult<Self> {
        let json = serde_json::to_string(&run).map_err(|error| PortError::failed("cannot encode a run", error))?;
        Ok(Self { run, json })
    }
}

// === impl SqliteHistory ===

impl SqliteHistory {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    async fn forget(&self, project: ProjectId, before: Timestamp, limit: u32) -> PortResult<u64> {
        let runs =
            self.core.main.write(move |connection| forget_runs(connection, project, before, limit), |_| {}).await?;
        let left = limit.saturating_sub(u32::try_from(runs).unwrap_or(u32::MAX));
        let lines =
            self.core.logs.write(move |connection| logs::forget(connection, project, before, left), |_| {}).await?;
        Ok(runs + lines)
    }
}

#[async_trait]
impl RunHistory for SqliteHistory {
    async fn record(&self, runs: Vec<RunRecord>) -> PortResult<()> {
        self.core.space.admit_outcome()?;
        let rows = encode(runs).await?;
        self.core.main.write(move |connection| record(connection, &rows), |()| {}).await
    }

    async fn run(&self, project: ProjectId, id: RunId) -> PortResult<Option<RunRecord>> {
        let work = move |connection: &Connection| {
            // One snapshot: a run that ends in between must not be missed by both looks.
            let _snapshot = connection.unchecked_transaction()?;
            let mut select = connection.prepare_cached("SELECT record FROM runs WHERE project = ?1 AND id = ?2")?;
            let json: Option<String> =
                select.query_row(params![id_blob(project), id_blob(id)], |row| row.get(0)).optional()?;
            match json {
                Some(json) => decode(&json).map(Some),
                None => waiting::run(connection, project, id),
            }
        };
        self.core.main.read(work).await
    }

    async fn runs(&self, query: &RunQuery) -> PortResult<RunPage> {
        let query = query.clone();
        self.core.main.read(move |connection| page(connection, &query)).await
    }

    async fn append_logs(&self, lines: Vec<LogLine>) -> PortResult<()> {
        self.core.space.admit_outcome()?;
        self.core.logs.write(move |connection| logs::append(connection, &lines), |()| {}).await
    }

    async fn logs(&self, query: &LogQuery) -> PortResult<LogPage> {
        let query = query.clone();
        self.core.logs.read(move |connection| logs::page(connection, &query)).await
    }

    async fn expire(&self, project: ProjectId, before: Timestamp, limit: u32) -> PortResult<u64> {
        self.core.space.freeing(|| self.forget(project, before, limit)).await
    }
}

/// Rows in the order of their ids, which is that of most indexes. Thousands of them take milliseconds: those are neither
/// the writing thread's, which is the scarce one, nor a worker's that answers calls meanwhile.
async fn encode(runs: Vec<RunRecord>) -> PortResult<Vec<Row>> {
    let work = move || {
        let mut rows = runs.into_iter().map(Row::new).collect::<PortResult<Vec<_>>>()?;
        rows.sort_by_key(|row| row.run.id);
        Ok(rows)
    };
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|error| PortError::failed("cannot encode runs", error))?
}

pub(crate) fn record(connection: &Connection, rows: &[Row]) -> WorkResult<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO runs (project, id, function, version, state, ended, cold, code, record)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (project, id) DO UPDATE SET
             function = excluded.function, version = excluded.version, state = excluded.state, ended = excluded.ended,
             cold = excluded.cold, code = excluded.code, record = excluded.record
         WHERE excluded.ended >= runs.ended",
    )?;
    for Row { run, json } in rows {
        upsert.execute(params![
            id_blob(run.project),
            id_blob(run.id),
            id_blob(run.function),
            run.version,
            state_number(run.state),
            run.state.is_terminal(),
            run.cold_start,
            run.code.map(code_number),
            json,
        ])?;
    }
    Ok(())
}

/// A page of runs that ended and of runs that are in the queue.
fn page(connection: &Connection, query: &RunQuery) -> WorkResult<RunPage> {
    // One snapshot: a run that ends in between must not be missed by both looks.
    let _snapshot = connection.unchecked_transaction()?;
    let waiting = waiting::page(connection, query)?;
    let mut runs = ended(connection, query)?;
    if !waiting.is_empty() {
        runs.extend(waiting);
        runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.id));
    }
    let more = runs.len() > query.limit as usize;
    runs.truncate(query.limit as usize);
    Ok(RunPage { next: runs.last().filter(|_| more).map(|run| run.id), runs })
}

/// The rows of a page and one more, which tells whether another page follows.
fn ended(connection: &Connection, query: &RunQuery) -> WorkResult<Vec<RunRecord>> {
    let select = RunSelect::new(query);
    let mut statement = connection.prepare_cached(&select.sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(&select.values))?;
    let mut runs: Vec<RunRecord> = Vec::new();
    while let Some(row) = rows.next()? {
        runs.push(decode(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?);
    }
    Ok(runs)
}

fn forget_runs(connection: &Connection, project: ProjectId, before: Timestamp, limit: u32) -> WorkResult<u64> {
    let gone = connection
        .prepare_cached(
            "DELETE FROM runs WHERE rowid IN (
                 SELECT rowid FROM runs INDEXED BY runs_id
                 WHERE project = ?1 AND id < ?2 AND ended = 1 ORDER BY id LIMIT ?3)",
        )?
        .execute(params![id_blob(project), first_id(before), limit])?;
    Ok(gone as u64)
}

pub(crate) fn decode(json: &str) -> WorkResult<RunRecord> {
    serde_json::from_str(json).map_err(|error| PortError::Corrupt { what: format!("a run's record ({error})") }.into())
}
