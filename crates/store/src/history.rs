//! Runs in `faas.db`; their log lines are in a database of their own.

use std::sync::Arc;

use async_trait::async_trait;
use faas_ports::{LogPage, LogQuery, PortError, PortResult, RunHistory, RunPage, RunQuery};
use faas_types::{LogLine, ProjectId, RunId, RunRecord, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::logs;
use crate::run_filter::{RunSelect, code_number, first_id, state_number};
use crate::sqlite::{WorkResult, id_blob};
use crate::store::Core;

/// Runs and log lines.
#[derive(Debug)]
pub(crate) struct SqliteHistory {
    core: Arc<Core>,
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
        // Encoded here, on the caller's thread: the writer's is the scarce one.
        let rows = runs
            .into_iter()
            .map(|run| match serde_json::to_string(&run) {
                Ok(json) => Ok((run, json)),
                Err(error) => Err(PortError::failed("cannot encode a run", error)),
            })
            .collect::<PortResult<Vec<_>>>()?;
        self.core.main.write(move |connection| record(connection, &rows), |()| {}).await
    }

    async fn run(&self, project: ProjectId, id: RunId) -> PortResult<Option<RunRecord>> {
        let work = move |connection: &Connection| {
            let mut select = connection.prepare_cached("SELECT record FROM runs WHERE project = ?1 AND id = ?2")?;
            let json: Option<String> =
                select.query_row(params![id_blob(project), id_blob(id)], |row| row.get(0)).optional()?;
            json.map(|json| decode(&json)).transpose()
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

fn record(connection: &Connection, rows: &[(RunRecord, String)]) -> WorkResult<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO runs (project, id, function, version, state, ended, cold, code, record)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (project, id) DO UPDATE SET
             function = excluded.function, version = excluded.version, state = excluded.state, ended = excluded.ended,
             cold = excluded.cold, code = excluded.code, record = excluded.record
         WHERE excluded.ended >= runs.ended",
    )?;
    for (run, json) in rows {
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

fn page(connection: &Connection, query: &RunQuery) -> WorkResult<RunPage> {
    let select = RunSelect::new(query);
    let mut statement = connection.prepare_cached(&select.sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(&select.values))?;
    let mut runs: Vec<RunRecord> = Vec::new();
    while let Some(row) = rows.next()? {
        if runs.len() == query.limit as usize {
            return Ok(RunPage { next: runs.last().map(|run| run.id), runs });
        }
        runs.push(decode(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?);
    }
    Ok(RunPage { runs, next: None })
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

fn decode(json: &str) -> WorkResult<RunRecord> {
    serde_json::from_str(json).map_err(|error| PortError::Corrupt { what: format!("a run's record ({error})") }.into())
}
