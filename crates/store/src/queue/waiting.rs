//! What the history shows of runs that have not ended: they are rows of the queue.

use faas_ports::RunQuery;
use faas_types::{ProjectId, RunId, RunRecord, RunState};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::history::decode;
use crate::run_filter::{first_id, state_number};
use crate::sqlite::{WorkResult, id_blob};

pub(crate) fn run(connection: &Connection, project: ProjectId, id: RunId) -> WorkResult<Option<RunRecord>> {
    let mut select = connection
        .prepare_cached("SELECT record, state, worker IS NOT NULL FROM queue WHERE project = ?1 AND run = ?2")?;
    let found = select.query_row(params![id_blob(project), id_blob(id)], columns).optional()?;
    found.map(shown).transpose()
}

/// A page of runs that wait or run, newest first, and one more, which tells whether another page follows.
pub(crate) fn page(connection: &Connection, query: &RunQuery) -> WorkResult<Vec<RunRecord>> {
    let ended = query.state.is_some_and(RunState::is_terminal);
    // Those columns are known at the end only.
    if ended || query.code.is_some() || query.cold_start.is_some() {
        return Ok(Vec::new());
    }
    let (sql, values) = select(query);
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), columns)?;
    rows.map(|row| shown(row?)).collect()
}

fn select(query: &RunQuery) -> (String, Vec<Value>) {
    let index = if query.function.is_some() { "queue_function" } else { "queue_run" };
    let mut sql = format!("SELECT record, state, worker IS NOT NULL FROM queue INDEXED BY {index} WHERE project = ?");
    let blob = |bytes: [u8; 16]| Value::Blob(bytes.to_vec());
    let mut values = vec![blob(id_blob(query.project))];
    let mut also = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            sql.push_str(condition);
            values.push(value);
        }
    };
    also(" AND function = ?", query.function.map(|id| blob(id_blob(id))));
    also(" AND version = ?", query.version.map(|version| i64::from(version).into()));
    also(" AND run >= ?", query.since.map(|since| blob(first_id(since))));
    also(" AND run < ?", query.until.map(|until| blob(first_id(until))));
    also(" AND run < ?", query.after.map(|after| blob(id_blob(after))));
    match query.state {
        Some(RunState::Running) => sql.push_str(" AND worker IS NOT NULL"),
        Some(state) => {
            sql.push_str(" AND worker IS NULL AND state = ?");
            values.push(state_number(state).into());
        }
        None => {}
    }
    sql.push_str(" ORDER BY run DESC LIMIT ?");
    values.push((i64::from(query.limit) + 1).into());
    (sql, values)
}

fn columns(row: &Row<'_>) -> rusqlite::Result<(String, i64, bool)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn shown((json, state, leased): (String, i64, bool)) -> WorkResult<RunRecord> {
    let record = decode(&json)?;
    let retried = state == state_number(RunState::Retried);
    let state = match (leased, retried) {
        (true, _) => RunState::Running,
        (false, true) => RunState::Retried,
        (false, false) => RunState::Queued,
    };
    Ok(RunRecord { state, ..record })
}
