//! Into the queue.

use faas_ports::{Claim, Enqueued, NewItem, PortError, PortResult};
use faas_types::{Digest, FunctionId, ProjectId};
use rusqlite::{Connection, params};

use super::{BLOCKED, READY, SLEEPING, claims};
use crate::run_rows;
use crate::sqlite::{WorkError, WorkResult, id_blob, integer, millis};

/// An item with its record encoded.
pub(crate) struct Row {
    item: NewItem,
    json: String,
}

// === impl Row ===

impl Row {
    pub(super) fn new(item: NewItem) -> PortResult<Self> {
        Ok(Self { json: run_rows::encoded(&item.record)?, item })
    }
}

/// Encoded on the caller's thread: the writer's is the scarce one.
pub(crate) fn encoded(items: Vec<NewItem>) -> PortResult<Vec<Row>> {
    items.into_iter().map(Row::new).collect()
}

pub(crate) fn enqueue(connection: &Connection, rows: &[Row]) -> WorkResult<Vec<Enqueued>> {
    rows.iter().map(|row| add(connection, row)).collect()
}

fn add(connection: &Connection, row: &Row) -> WorkResult<Enqueued> {
    let item = &row.item;
    let record = &item.record;
    if let Some(Claim { key, .. }) = &item.claim
        && let Some(held) = claims::held(connection, record.project, record.function().id, key, record.created_at)?
    {
        let same = item.claim.as_ref().is_some_and(|claim| claim.fingerprint == held.fingerprint);
        return Ok(Enqueued::Known { run: held.run, same });
    }
    if let Some(claim) = &item.claim
        && !claims::fits(connection, record.project, record.function().id, claim.quota)?
    {
        return Ok(Enqueued::TooManyClaims);
    }
    if let Some(dead) = item.redrives
        && connection
            .prepare_cached("DELETE FROM dead_letters WHERE project = ?1 AND run = ?2")?
            .execute(params![id_blob(record.project), id_blob(dead)])?
            == 0
    {
        return Ok(Enqueued::Gone);
    }
    if let Some(claim) = &item.claim {
        claims::take(connection, record.project, record.function().id, claim, record.id, false)?;
    }
    insert(connection, row)?;
    Ok(Enqueued::Accepted)
}

pub(super) fn insert(connection: &Connection, row: &Row) -> WorkResult<()> {
    let item = &row.item;
    let record = &item.record;
    let owner = (id_blob(record.project), id_blob(record.id));
    connection
        .prepare_cached("INSERT INTO inputs (project, run, input) VALUES (?1, ?2, ?3)")?
        .execute(params![owner.0, owner.1, &item.input[..]])
        .map_err(|error| twice(error, row))?;
    let stage = match &item.ordering_key {
        Some(key) if first_of_key(connection, record.project, record.function().id, key)?.is_some() => BLOCKED,
        _ if item.not_before <= record.created_at => READY,
        _ => SLEEPING,
    };
    connection
        .prepare_cached(
            "INSERT INTO queue (project, run, function, version, state, stage, due_at, priority, ordering_key, record,
                                bytes, keyless, blob, reserved)
             VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            owner.0,
            owner.1,
            id_blob(record.function().id),
            record.function().version,
            stage,
            millis(item.not_before),
            item.priority,
            item.ordering_key,
            row.json,
            integer(item.footprint.bytes),
            item.footprint.keyless,
            item.footprint.blob.as_ref().map(Digest::as_bytes),
            integer(item.footprint.reserved),
        ])
        .map_err(|error| twice(error, row))?;
    Ok(())
}

fn twice(error: rusqlite::Error, row: &Row) -> WorkError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => {
            PortError::Exists { what: format!("the run {}", row.item.record.id) }.into()
        }
        _ => error.into(),
    }
}

/// The place of the item of an ordering key that goes first.
pub(super) fn first_of_key(
    connection: &Connection,
    project: ProjectId,
    function: FunctionId,
    key: &str,
) -> WorkResult<Option<i64>> {
    let first = connection
        .prepare_cached("SELECT min(seq) FROM queue WHERE project = ?1 AND function = ?2 AND ordering_key = ?3")?
        .query_row(params![id_blob(project), id_blob(function), key], |row| row.get(0))?;
    Ok(first)
}
