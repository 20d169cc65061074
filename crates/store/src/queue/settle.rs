//! The end of leases.

use faas_ports::{
    ByteBounds, FollowUps, LeaseMark, NewCallback, PortResult, RunOutcome, Settled, Settlement, Withdrawn,
};
use faas_types::{RunRecord, Timestamp};
use rusqlite::{Connection, params};

use super::enqueue::{self, first_of_key};
use super::kept::{self, EndedInput};
use super::{BLOCKED, SLEEPING, callbacks, footprint, held};
use crate::run_filter::{code_number, state_number};
use crate::run_rows;
use crate::sqlite::{self, WorkResult, id_blob, millis};

/// A settlement with its record encoded.
pub(super) struct Row {
    lease: LeaseMark,
    outcome: Encoded,
}

enum Encoded {
    Finish { end: Box<EndRow>, dead: Option<String> },
    Retry { run: Box<run_rows::Row>, not_before: Timestamp },
    Return { not_before: Timestamp },
}

/// The end of a run with what follows it, encoded.
pub(super) struct EndRow {
    run: run_rows::Row,
    callback: Option<NewCallback>,
    next: Option<enqueue::Row>,
}

// === impl EndRow ===

impl EndRow {
    pub(super) fn new(record: RunRecord, follow_ups: FollowUps) -> PortResult<Self> {
        let next = follow_ups.run.map(|item| enqueue::Row::new(*item)).transpose()?;
        Ok(Self { run: run_rows::Row::new(record)?, callback: follow_ups.callback, next })
    }

    /// Puts the terminal record into the history, and what follows where it waits.
    fn write(&self, connection: &Connection) -> WorkResult<()> {
        run_rows::record(connection, std::slice::from_ref(&self.run))?;
        let run = &self.run.run;
        if let Some(callback) = &self.callback {
            callbacks::add(connection, run.project, run.id, callback)?;
        }
        self.next.as_ref().map_or(Ok(()), |next| enqueue::insert(connection, next))
    }
}

// === impl Row ===

impl Row {
    pub(super) fn new(settlement: Settlement) -> PortResult<Self> {
        let encoded = |record| run_rows::Row::new(record).map(Box::new);
        let outcome = match settlement.outcome {
            RunOutcome::Finish { record, dead, follow_ups } => {
                Encoded::Finish { end: Box::new(EndRow::new(*record, follow_ups)?), dead }
            }
            RunOutcome::Retry { record, not_before } => Encoded::Retry { run: encoded(*record)?, not_before },
            RunOutcome::Return { not_before } => Encoded::Return { not_before },
        };
        Ok(Self { lease: settlement.lease, outcome })
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

pub(super) fn settle_all(connection: &Connection, rows: &[Row], bounds: ByteBounds) -> WorkResult<Settled> {
    let (mut lease_held, mut ended) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        lease_held.push(settle(connection, row, &mut ended)?);
    }
    kept::add(connection, &ended)?;
    Ok(Settled { held: lease_held, freed: kept::trim(connection, &ended, bounds)? })
}

/// Whether the lease was still held.
fn settle(connection: &Connection, row: &Row, ended: &mut Vec<EndedInput>) -> WorkResult<bool> {
    let Some(seq) = held(connection, row.lease)? else { return Ok(false) };
    match &row.outcome {
        Encoded::Finish { end, dead } => {
            end.write(connection)?;
            if let Some(reason) = dead {
                bury(connection, &end.run, reason)?;
            }
            ended.push(EndedInput { is_dead: dead.is_some(), ..leave(connection, seq)? });
        }
        Encoded::Retry { run, not_before } => {
            connection
                .prepare_cached(
                    "UPDATE queue SET stage = ?2, due_at = ?3, state = ?4, record = ?5, worker = NULL WHERE seq = ?1",
                )?
                .execute(params![seq, SLEEPING, millis(*not_before), state_number(run.run.state()), run.json])?;
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

/// What the run took and what made room for its input, if it was in the queue.
pub(super) fn withdraw(connection: &Connection, end: &EndRow, bounds: ByteBounds) -> WorkResult<Option<Withdrawn>> {
    let run = &end.run.run;
    let mut select = connection.prepare_cached("SELECT seq FROM queue WHERE project = ?1 AND run = ?2")?;
    let mut found = select.query(params![id_blob(run.project), id_blob(run.id)])?;
    let Some(found) = found.next()? else { return Ok(None) };
    let seq = found.get(0)?;
    end.write(connection)?;
    let ended = [leave(connection, seq)?];
    kept::add(connection, &ended)?;
    let freed = kept::trim(connection, &ended, bounds)?;
    let [EndedInput { footprint, .. }] = ended;
    Ok(Some(Withdrawn { footprint, freed }))
}

fn bury(connection: &Connection, row: &run_rows::Row, reason: &str) -> WorkResult<()> {
    let run = &row.run;
    connection
        .prepare_cached(
            "INSERT INTO dead_letters (project, run, function, code, died_at, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            id_blob(run.project),
            id_blob(run.id),
            id_blob(run.function().id),
            run.code.map(code_number),
            millis(run.finished_at.unwrap_or(run.created_at)),
            reason,
        ])?;
    Ok(())
}

/// Takes an item out and lets the next of its ordering key go on.
fn leave(connection: &Connection, seq: i64) -> WorkResult<EndedInput> {
    let (ended, key): (EndedInput, Option<String>) = connection
        .prepare_cached(
            "DELETE FROM queue WHERE seq = ?1
             RETURNING project, function, run, bytes, keyless, blob, reserved, ordering_key",
        )?
        .query_row([seq], |row| {
            let (project, function, run) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((EndedInput { project, function, run, footprint: footprint(row, 3)?, is_dead: false }, row.get(7)?))
        })?;
    if let Some(key) = key
        && let Some(next) = first_of_key(connection, sqlite::id(ended.project), sqlite::id(ended.function), &key)?
    {
        connection
            .prepare_cached("UPDATE queue SET stage = ?2 WHERE seq = ?1 AND stage = ?3")?
            .execute(params![next, SLEEPING, BLOCKED])?;
    }
    Ok(ended)
}
