//! What the history shows of runs that have not ended: they are rows of the queue.

use faas_ports::{PortError, RUNS_EXAMINED_MAX, RunPage, RunQuery};
use faas_types::{ProjectId, RunEvent, RunId, RunRecord, RunState};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::run_filter::first_id;
use crate::run_rows::decode;
use crate::sqlite::{self, WorkResult, id_blob};

pub(crate) fn run(connection: &Connection, project: ProjectId, id: RunId) -> WorkResult<Option<RunRecord>> {
    let mut select =
        connection.prepare_cached("SELECT record, worker IS NOT NULL FROM queue WHERE project = ?1 AND run = ?2")?;
    let found = select.query_row(params![id_blob(project), id_blob(id)], columns).optional()?;
    found.map(shown).transpose()
}

/// A page of runs that wait or run, newest first; as many rows are looked at as one page may.
pub(crate) fn page(connection: &Connection, query: &RunQuery) -> WorkResult<RunPage> {
    let mut page = RunPage::default();
    let ended = query.state.is_some_and(RunState::is_terminal);
    let timed = query.duration_min.is_some() || query.duration_max.is_some();
    // Those columns are known at the end only.
    if ended || timed || query.code.is_some() || query.cold_start.is_some() {
        return Ok(page);
    }
    let (sql, values) = walk(query);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        if page.examined == RUNS_EXAMINED_MAX {
            page.next = last;
            break;
        }
        page.examined += 1;
        last = Some(sqlite::id(row.get(2)?));
        let version: i64 = row.get(3)?;
        if query.version.is_some_and(|wanted| i64::from(wanted) != version) {
            continue;
        }
        let run = shown(columns(row)?)?;
        let fits = query.state.is_none_or(|state| run.state() == state)
            && query.trigger.is_none_or(|trigger| run.trigger == trigger);
        if fits && page.runs.len() == query.limit as usize {
            page.next = page.runs.last().map(|run| run.id);
            break;
        }
        if fits {
            page.runs.push(run);
        }
    }
    Ok(page)
}

/// Walks an index back in time; `shown` tells what the columns mean.
fn walk(query: &RunQuery) -> (String, Vec<Value>) {
    let index = if query.function.is_some() { "queue_function" } else { "queue_run" };
    let mut sql =
        format!("SELECT record, worker IS NOT NULL, run, version FROM queue INDEXED BY {index} WHERE project = ?");
    let blob = |bytes: [u8; 16]| Value::Blob(bytes.to_vec());
    let mut values = vec![blob(id_blob(query.project))];
    let mut also = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            sql.push_str(condition);
            values.push(value);
        }
    };
    also(" AND function = ?", query.function.map(|id| blob(id_blob(id))));
    also(" AND run >= ?", query.since.map(|since| blob(first_id(since))));
    let (until, after) = (query.until.map(first_id), query.after.map(id_blob));
    also(" AND run < ?", until.into_iter().chain(after).min().map(blob));
    sql.push_str(" ORDER BY run DESC");
    (sql, values)
}

fn columns(row: &Row<'_>) -> rusqlite::Result<(String, bool)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn shown((json, leased): (String, bool)) -> WorkResult<RunRecord> {
    let mut record: RunRecord = decode(&json)?;
    if leased {
        record.take(RunEvent::Start, 1).map_err(|_| PortError::Corrupt { what: "a queued run".into() })?;
    }
    Ok(record)
}
