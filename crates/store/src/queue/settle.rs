//! The end of leases.

use faas_ports::{LeaseMark, PortResult, Settlement, Verdict};
use faas_types::Timestamp;
use rusqlite::{Connection, params};

use super::enqueue::first_of_key;
use super::{BLOCKED, SLEEPING, held};
use crate::history;
use crate::run_filter::{code_number, state_number};
use crate::sqlite::{self, WorkResult, id_blob, millis};

/// A settlement with its record encoded.
pub(super) struct Row {
    lease: LeaseMark,
    verdict: Encoded,
}

enum Encoded {
    Finish { run: Box<history::Row>, dead: Option<String> },
    Retry { run: Box<history::Row>, not_before: Timestamp },
    Return { not_before: Timestamp },
}

// === impl Row ===

impl Row {
    pub(super) fn new(settlement: Settlement) -> PortResult<Self> {
        let encoded = |record| history::Row::new(record).map(Box::new);
        let verdict = match settlement.verdict {
            Verdict::Finish { record, dead } => Encoded::Finish { run: encoded(*record)?, dead },
            Verdict::Retry { record, not_before } => Encoded::Retry { run: encoded(*record)?, not_before },
            Verdict::Return { not_before } => Encoded::Return { not_before },
        };
        Ok(Self { lease: settlement.lease, verdict })
    }
}

pub(super) fn extend(connection: &Connection, lease: LeaseMark, expires_at: Timestamp) -> WorkResult<bool> {
    let Some(seq) = held(connection, lease)? else { return Ok(false) };
    connection.prepare_cached("UPDATE queue SET stage = ?2, due_at = ?3 WHERE seq = ?1")?.execute(params![
        seq,
        SLEEPING,
        millis(expires_at)
    ])?;
    Ok(true)
}

/// Whether the lease was still held.
pub(super) fn settle(connection: &Connection, row: &Row) -> WorkResult<bool> {
    let Some(seq) = held(connection, row.lease)? else { return Ok(false) };
    match &row.verdict {
        Encoded::Finish { run, dead } => {
            history::record(connection, std::slice::from_ref(&**run))?;
            if let Some(reason) = dead {
                bury(connection, run, reason)?;
            }
            leave(connection, seq)?;
        }
        Encoded::Retry { run, not_before } => {
            connection
                .prepare_cached(
                    "UPDATE queue SET stage = ?2, due_at = ?3, state = ?4, record = ?5, worker = NULL WHERE seq = ?1",
                )?
                .execute(params![seq, SLEEPING, millis(*not_before), state_number(run.run.state), run.json])?;
        }
        Encoded::Return { not_before } => {
            connection
                .prepare_cached(
                    "UPDATE queue SET stage = ?2, due_at = ?3, worker = NULL, deliveries = deliveries - 1
                     WHERE seq = ?1",
                )?
                .execute(params![seq, SLEEPING, millis(*not_before)])?;
        }
    }
    Ok(true)
}

/// Whether the run was in the queue.
pub(super) fn withdraw(connection: &Connection, row: &history::Row) -> WorkResult<bool> {
    let mut select = connection.prepare_cached("SELECT seq FROM queue WHERE project = ?1 AND run = ?2")?;
    let mut found = select.query(params![id_blob(row.run.project), id_blob(row.run.id)])?;
    let Some(found) = found.next()? else { return Ok(false) };
    let seq = found.get(0)?;
    history::record(connection, std::slice::from_ref(row))?;
    leave(connection, seq)?;
    Ok(true)
}

fn bury(connection: &Connection, row: &history::Row, reason: &str) -> WorkResult<()> {
    let run = &row.run;
    connection
        .prepare_cached(
            "INSERT INTO dead_letters (project, run, function, code, died_at, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            id_blob(run.project),
            id_blob(run.id),
            id_blob(run.function),
            run.code.map(code_number),
            millis(run.finished_at.unwrap_or(run.created_at)),
            reason,
        ])?;
    Ok(())
}

/// Takes an item out and lets the next of its ordering key go on.
fn leave(connection: &Connection, seq: i64) -> WorkResult<()> {
    let (project, function, key): ([u8; 16], [u8; 16], Option<String>) = connection
        .prepare_cached("DELETE FROM queue WHERE seq = ?1 RETURNING project, function, ordering_key")?
        .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    if let Some(key) = key
        && let Some(next) = first_of_key(connection, sqlite::id(project), sqlite::id(function), &key)?
    {
        connection
            .prepare_cached("UPDATE queue SET stage = ?2 WHERE seq = ?1 AND stage = ?3")?
            .execute(params![next, SLEEPING, BLOCKED])?;
    }
    Ok(())
}
