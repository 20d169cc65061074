//! Runs in `faas.db`; their log lines are in a database of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use faas_ports::{
    Expired, Expiry, LogPage, LogQuery, PortError, PortResult, RUNS_EXAMINED_MAX, RunHistory, RunPage, RunQuery,
};
use faas_types::{LogLine, ProjectId, RunId, RunRecord};
use rusqlite::{Connection, OptionalExtension, params};

use crate::queue::waiting;
use crate::run_filter::{RunWalk, code_number, id_of, state_number};
use crate::sqlite::{WorkResult, id_blob, integer};
use crate::store::Core;
use crate::{expiry, logs};

/// What a run takes besides its record, with its share of the indexes.
const RUN_COST: i64 = 256;
/// More than the record of a run that succeeded takes. Grown from nothing, it would be copied some times.
const ENCODED_LEN: usize = 1 << 10;
/// Bytes of records in one page.
const PAGE_BYTES: usize = 4 << 20;

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
        let json = encoded(&run)?;
        Ok(Self { run, json })
    }
}

// === impl SqliteHistory ===

impl SqliteHistory {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

#[async_trait]
impl RunHistory for SqliteHistory {
    async fn record(&self, runs: Vec<RunRecord>) -> PortResult<()> {
        self.core.space.admit_outcome()?;
        let rows = self::rows(runs)?;
        let work = unhurried(self.core.give_way, move |connection| record(connection, &rows));
        self.core.main.write(work, |()| {}).await
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
        let work = unhurried(self.core.give_way, move |connection| logs::append(connection, &lines));
        self.core.logs.write(work, |()| {}).await
    }

    async fn logs(&self, query: &LogQuery) -> PortResult<LogPage> {
        let query = query.clone();
        self.core.logs.read(move |connection| logs::page(connection, &query)).await
    }

    async fn expire(&self, expiry: &Expiry) -> PortResult<Expired> {
        self.core.space.freeing(|| expiry::step(&self.core, expiry)).await
    }
}

/// The same work by a thread that gives way: thousands of rows take milliseconds.
fn unhurried(
    give_way: fn(bool),
    work: impl FnOnce(&Connection) -> WorkResult<()>,
) -> impl FnOnce(&Connection) -> WorkResult<()> {
    move |connection| {
        give_way(true);
        let done = work(connection);
        give_way(false);
        done
    }
}

/// Rows in the order of their ids, which is that of most indexes. Thousands of them take milliseconds, of the caller's
/// thread: the writing one is the scarce one.
fn rows(runs: Vec<RunRecord>) -> PortResult<Vec<Row>> {
    let mut rows = runs.into_iter().map(Row::new).collect::<PortResult<Vec<_>>>()?;
    rows.sort_by_key(|row| row.run.id);
    Ok(rows)
}

pub(crate) fn record(connection: &Connection, rows: &[Row]) -> WorkResult<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO runs (project, id, function, version, state, trigger, ended, cold, code, duration, record)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (project, id) DO NOTHING",
    )?;
    // A terminal state stays.
    let mut replace = connection.prepare_cached(
        "UPDATE runs SET function = ?3, version = ?4, state = ?5, trigger = ?6, ended = ?7, cold = ?8, code = ?9,
             duration = ?10, record = ?11
         WHERE project = ?1 AND id = ?2 AND ended <= ?7",
    )?;
    let mut grown: BTreeMap<ProjectId, i64> = BTreeMap::new();
    for Row { run, json } in rows {
        let values = params![
            id_blob(run.project),
            id_blob(run.id),
            id_blob(run.function),
            run.version,
            state_number(run.state),
            run.trigger.as_str(),
            run.state.is_terminal(),
            run.cold_start,
            run.code.map(code_number),
            run.duration_us.map(integer),
            json,
        ];
        if insert.execute(values)? == 0 {
            replace.execute(values)?;
        } else {
            *grown.entry(run.project).or_default() += i64::try_from(json.len()).unwrap_or(i64::MAX) + RUN_COST;
        }
    }
    let mut usage = connection.prepare_cached(
        "INSERT INTO run_usage (project, bytes) VALUES (?1, ?2)
         ON CONFLICT (project) DO UPDATE SET bytes = bytes + excluded.bytes",
    )?;
    for (project, bytes) in grown {
        usage.execute(params![id_blob(project), bytes])?;
    }
    Ok(())
}

/// A page of runs that ended and of runs that are in the queue.
fn page(connection: &Connection, query: &RunQuery) -> WorkResult<RunPage> {
    // One snapshot: a run that ends in between must not be missed by both looks.
    let _snapshot = connection.unchecked_transaction()?;
    let (waiting, ended) = (waiting::page(connection, query)?, ended(connection, query)?);
    // What one of them has not looked at yet is for the next page.
    let floor = waiting.next.max(ended.next);
    let mut runs = ended.runs;
    if !waiting.runs.is_empty() {
        runs.extend(waiting.runs);
        runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.id));
    }
    runs.retain(|run| floor.is_none_or(|floor| run.id >= floor));
    let limit = query.limit as usize;
    let next = if runs.len() > limit { runs[..limit].last().map(|run| run.id) } else { floor };
    runs.truncate(limit);
    Ok(RunPage { runs, next, examined: waiting.examined + ended.examined })
}

/// A page of runs that have ended.
fn ended(connection: &Connection, query: &RunQuery) -> WorkResult<RunPage> {
    let walk = RunWalk::new(query);
    let mut statement = connection.prepare_cached(&walk.sql)?;
    let mut record = connection.prepare_cached("SELECT record FROM runs WHERE rowid = ?1")?;
    let mut rows = statement.query(rusqlite::params_from_iter(&walk.values))?;
    let mut page = RunPage::default();
    let (mut last, mut bytes) = (None, 0);
    while let Some(row) = rows.next()? {
        if page.examined == RUNS_EXAMINED_MAX {
            page.next = last;
            break;
        }
        page.examined += 1;
        if walk.takes(row)? {
            if page.runs.len() == query.limit as usize {
                page.next = page.runs.last().map(|run| run.id);
                break;
            }
            let json: String = record.query_row([row.get::<_, i64>(0)?], |row| row.get(0))?;
            bytes += json.len();
            // The first one always fits, so that each page gets on.
            if bytes > PAGE_BYTES && !page.runs.is_empty() {
                page.next = page.runs.last().map(|run| run.id);
                break;
            }
            page.runs.push(decode(&json)?);
        }
        last = Some(id_of(row)?);
    }
    Ok(page)
}

pub(crate) fn decode(json: &str) -> WorkResult<RunRecord> {
    serde_json::from_str(json).map_err(|error| PortError::Corrupt { what: format!("a run's record ({error})") }.into())
}

pub(crate) fn encoded(run: &RunRecord) -> PortResult<String> {
    let mut json = Vec::with_capacity(ENCODED_LEN);
    serde_json::to_writer(&mut json, run).map_err(|error| PortError::failed("cannot encode a run", error))?;
    String::from_utf8(json).map_err(|error| PortError::failed("cannot encode a run", error))
}
