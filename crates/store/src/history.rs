//! Runs in `faas.db`; their log lines are in a database of their own.

use std::sync::Arc;

use async_trait::async_trait;
use faas_ports::{Expired, Expiry, LogPage, LogQuery, PortResult, RUNS_EXAMINED_MAX, RunHistory, RunPage, RunQuery};
use faas_types::{LogLine, ProjectId, RunId, RunRecord};
use rusqlite::{Connection, OptionalExtension, params};

use crate::queue::waiting;
use crate::run_filter::{RunWalk, id_of};
use crate::run_rows::{Row, decode, record};
use crate::shared::Shared;
use crate::sqlite::{WorkResult, id_blob};
use crate::{expiry, logs};

/// Bytes of records in one page.
const PAGE_BYTES: usize = 4 << 20;

/// Runs and log lines.
#[derive(Debug)]
pub(crate) struct SqliteHistory {
    shared: Arc<Shared>,
}

// === impl SqliteHistory ===

impl SqliteHistory {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[async_trait]
impl RunHistory for SqliteHistory {
    async fn record(&self, runs: Vec<RunRecord>) -> PortResult<()> {
        self.shared.space.admit_outcome()?;
        let rows = self::rows(runs)?;
        let work = unhurried(self.shared.give_way, move |connection| record(connection, &rows));
        self.shared.main.write(work, |()| {}).await
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
        self.shared.main.read(work).await
    }

    async fn runs(&self, query: &RunQuery) -> PortResult<RunPage> {
        let query = query.clone();
        self.shared.main.read(move |connection| page(connection, &query)).await
    }

    async fn append_logs(&self, lines: Vec<LogLine>) -> PortResult<()> {
        self.shared.space.admit_outcome()?;
        let work = unhurried(self.shared.give_way, move |connection| logs::append(connection, &lines));
        self.shared.logs.write(work, |()| {}).await
    }

    async fn logs(&self, query: &LogQuery) -> PortResult<LogPage> {
        let query = query.clone();
        self.shared.logs.read(move |connection| logs::page(connection, &query)).await
    }

    async fn expire(&self, expiry: &Expiry) -> PortResult<Expired> {
        self.shared.space.freeing(|| expiry::step(&self.shared, expiry)).await
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
    // What collects results does not know how many come.
    let mut rows = Vec::with_capacity(runs.len());
    for run in runs {
        rows.push(Row::new(run)?);
    }
    rows.sort_by_key(|row| row.run.id);
    Ok(rows)
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
