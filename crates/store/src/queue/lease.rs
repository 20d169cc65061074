//! Out of the queue, for a while.

use bytes::Bytes;
use faas_ports::{Footprint, Lease, QueueOutlook, Want};
use faas_types::{FunctionId, ProjectId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SLEEPING, footprint};
use crate::sqlite::{self, WorkResult, id_blob, millis, timestamp, unsigned};

/// Rows that `outlook` visits; what lies behind is found by a later look.
const FUNCTIONS_MAX: usize = 10_000;

/// A leased row whose record is still text.
pub(super) struct Handed {
    json: String,
    input: Vec<u8>,
    ordering_key: Option<String>,
    deliveries: u32,
    epoch: u64,
    expires_at: Timestamp,
    footprint: Footprint,
}

// === impl Handed ===

impl Handed {
    /// Decoded on the caller's thread: the writer's is the scarce one. What cannot be decoded is logged and left to
    /// lapse again, so that one damaged row stops nothing else.
    pub(super) fn decode(self) -> Option<Lease> {
        match serde_json::from_str(&self.json) {
            Ok(record) => Some(Lease {
                record,
                input: Bytes::from(self.input),
                ordering_key: self.ordering_key,
                deliveries: self.deliveries,
                epoch: self.epoch,
                expires_at: self.expires_at,
                footprint: self.footprint,
            }),
            Err(error) => {
                tracing::error!(%error, "a queued run cannot be read");
                None
            }
        }
    }
}

pub(super) fn outlook(connection: &Connection, now: Timestamp) -> WorkResult<QueueOutlook> {
    wake(connection, now)?;
    let mut ready: Vec<(ProjectId, FunctionId)> = Vec::new();
    let mut next = connection.prepare_cached(
        "SELECT project, function FROM queue INDEXED BY queue_ready
         WHERE stage = 1 AND (project, function) > (?1, ?2) ORDER BY project, function LIMIT 1",
    )?;
    let mut after: ([u8; 16], [u8; 16]) = ([0; 16], [0; 16]);
    while ready.len() < FUNCTIONS_MAX {
        let found = next.query_row(params![after.0, after.1], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some(found) = found else { break };
        after = found;
        ready.push((sqlite::id(after.0), sqlite::id(after.1)));
    }
    let next: Option<i64> = connection
        .prepare_cached("SELECT min(due_at) FROM queue INDEXED BY queue_sleeping WHERE stage = 0")?
        .query_row([], |row| row.get(0))?;
    Ok(QueueOutlook { ready, next: next.map(timestamp) })
}

fn wake(connection: &Connection, now: Timestamp) -> WorkResult<()> {
    connection.prepare_cached("UPDATE queue SET stage = 1 WHERE stage = 0 AND due_at <= ?1")?.execute([millis(now)])?;
    Ok(())
}

pub(super) fn lease(
    connection: &Connection,
    worker: &str,
    wants: &[Want],
    now: Timestamp,
    expires_at: Timestamp,
) -> WorkResult<Vec<Handed>> {
    wake(connection, now)?;
    let mut select = connection.prepare_cached(
        "SELECT q.seq, q.record, i.input, q.ordering_key, q.deliveries, q.bytes, q.keyless, q.blob,
                q.reserved
         FROM queue AS q INDEXED BY queue_ready JOIN inputs AS i ON i.project = q.project AND i.run = q.run
         WHERE q.stage = 1 AND q.project = ?1 AND q.function = ?2 ORDER BY q.priority DESC, q.seq LIMIT ?3",
    )?;
    let mut due: Vec<(i64, Handed)> = Vec::new();
    for want in wants {
        let rows = select.query_map(params![id_blob(want.project), id_blob(want.function), want.max], |row| {
            handed(row, expires_at)
        })?;
        for row in rows {
            due.push(row?);
        }
    }
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let epoch: i64 = connection
        .prepare_cached("UPDATE counters SET value = value + 1 WHERE name = 'epoch' RETURNING value")?
        .query_row([], |row| row.get(0))?;
    let mut hand_out = connection.prepare_cached(
        "UPDATE queue SET stage = ?2, due_at = ?3, epoch = ?4, worker = ?5, deliveries = deliveries + 1 WHERE seq = ?1",
    )?;
    let mut leases = Vec::with_capacity(due.len());
    for (seq, handed) in due {
        hand_out.execute(params![seq, SLEEPING, millis(expires_at), epoch, worker])?;
        leases.push(Handed { epoch: unsigned(epoch), ..handed });
    }
    Ok(leases)
}

fn handed(row: &Row<'_>, expires_at: Timestamp) -> rusqlite::Result<(i64, Handed)> {
    let handed = Handed {
        json: row.get(1)?,
        input: row.get(2)?,
        ordering_key: row.get(3)?,
        deliveries: row.get::<_, u32>(4)?.saturating_add(1),
        epoch: 0,
        expires_at,
        footprint: footprint(row, 5)?,
    };
    Ok((row.get(0)?, handed))
}
