//! The run queue in SQLite.

mod callbacks;
pub(crate) mod claims;
mod dead_letters;
mod enqueue;
pub(crate) mod kept;
mod lease;
mod settle;
pub(crate) mod waiting;

pub(crate) use enqueue::{encoded, enqueue};

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_ports::{
    ByteBounds, Enqueued, FollowUps, Footprint, Lease, LeaseMark, NewItem, PortResult, QueueDepth, QueueOutlook,
    RunQueue, Settled, Settlement, Want, Withdrawn,
};
use faas_types::{Digest, RunRecord, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::shared::Shared;
use crate::sqlite::{self, WorkResult, id_blob, integer, unsigned};

/// Sleeps until it is due: delayed, or leased.
const SLEEPING: i64 = 0;
/// May be handed out.
const READY: i64 = 1;
/// Waits behind an earlier item of its ordering key.
const BLOCKED: i64 = 2;

/// Queued runs in `faas.db`.
#[derive(Debug)]
pub(crate) struct SqliteQueue {
    pub(crate) shared: Arc<Shared>,
}

// === impl SqliteQueue ===

impl SqliteQueue {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[async_trait]
impl RunQueue for SqliteQueue {
    async fn enqueue(&self, items: Vec<NewItem>) -> PortResult<Vec<Enqueued>> {
        self.shared.space.admit()?;
        let rows = encoded(items)?;
        let work = move |connection: &Connection| enqueue(connection, &rows);
        self.shared.main.write(work, |_| {}).await
    }

    async fn outlook(&self, now: Timestamp) -> PortResult<QueueOutlook> {
        self.shared.main.write(move |connection| lease::outlook(connection, now), |_| {}).await
    }

    async fn lease(&self, worker: &str, wants: &[Want], ttl: Duration, now: Timestamp) -> PortResult<Vec<Lease>> {
        let (worker, wants) = (worker.to_owned(), wants.to_vec());
        let work = move |connection: &Connection| lease::lease(connection, &worker, &wants, now, now.plus(ttl));
        let handed = self.shared.main.write(work, |_| {}).await?;
        Ok(handed.into_iter().filter_map(lease::Handed::decode).collect())
    }

    async fn extend(&self, leases: &[LeaseMark], expires_at: Timestamp) -> PortResult<Vec<bool>> {
        let leases = leases.to_vec();
        let work = move |connection: &Connection| {
            leases.iter().map(|lease| settle::extend(connection, *lease, expires_at)).collect()
        };
        self.shared.main.write(work, |_| {}).await
    }

    async fn settle(&self, settlements: Vec<Settlement>, kept: ByteBounds) -> PortResult<Settled> {
        let rows = settlements.into_iter().map(settle::Row::new).collect::<PortResult<Vec<_>>>()?;
        let rows = Arc::new(rows);
        let finish = || {
            let rows = Arc::clone(&rows);
            let work = move |connection: &Connection| settle::settle_all(connection, &rows, kept);
            self.shared.main.write(work, |_: &Settled| {})
        };
        self.shared.space.freeing(finish).await
    }

    async fn withdraw(
        &self,
        record: RunRecord,
        follow_ups: FollowUps,
        kept: ByteBounds,
    ) -> PortResult<Option<Withdrawn>> {
        let row = Arc::new(settle::EndRow::new(record, follow_ups)?);
        let finish = || {
            let row = Arc::clone(&row);
            self.shared.main.write(move |connection| settle::withdraw(connection, &row, kept), |_| {})
        };
        self.shared.space.freeing(finish).await
    }

    async fn depths(&self) -> PortResult<Vec<QueueDepth>> {
        self.shared.main.read(depths).await
    }
}

/// Frees what a server that died had leased or claimed, but for names of writes: it is not known whether they were done. The holder of the data directory's lock is the only worker.
pub(crate) fn recover(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "UPDATE queue SET due_at = 0 WHERE worker IS NOT NULL AND stage = 0;
         UPDATE claims SET calling = 0 WHERE calling = 1 AND function = zeroblob(16);
         DELETE FROM claims WHERE calling = 1;
         UPDATE callbacks SET due_at = 0, taken = 0, attempts = attempts - 1 WHERE taken = 1;",
    )
}

/// The place of a lease's item while it holds. A lapsed lease holds until the item is handed out again.
fn held(connection: &Connection, lease: LeaseMark) -> WorkResult<Option<i64>> {
    let seq = connection
        .prepare_cached("SELECT seq FROM queue WHERE project = ?1 AND run = ?2 AND epoch = ?3 AND worker IS NOT NULL")?
        .query_row(params![id_blob(lease.project), id_blob(lease.run), integer(lease.epoch)], |row| row.get(0))
        .optional()?;
    Ok(seq)
}

fn depths(connection: &Connection) -> WorkResult<Vec<QueueDepth>> {
    let mut select = connection.prepare_cached(
        "SELECT project, function, count(*), count(worker), sum(bytes), sum(keyless), sum(bytes * keyless), sum(reserved)
         FROM queue GROUP BY project, function",
    )?;
    let depth = |row: &rusqlite::Row<'_>| {
        let (all, leased): (i64, i64) = (row.get(2)?, row.get(3)?);
        Ok(QueueDepth {
            project: sqlite::id(row.get(0)?),
            function: sqlite::id(row.get(1)?),
            waiting: unsigned(all - leased),
            leased: unsigned(leased),
            bytes: unsigned(row.get(4)?),
            keyless: unsigned(row.get(5)?),
            keyless_bytes: unsigned(row.get(6)?),
            reserved: unsigned(row.get(7)?),
        })
    };
    Ok(select.query_map([], depth)?.collect::<Result<_, _>>()?)
}

/// The columns bytes, keyless, blob and reserved, from this one on.
fn footprint(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Footprint> {
    let blob: Option<[u8; 32]> = row.get(first + 2)?;
    let (bytes, reserved) = (unsigned(row.get(first)?), unsigned(row.get(first + 3)?));
    Ok(Footprint { bytes, keyless: row.get(first + 1)?, blob: blob.map(Digest::from_bytes), reserved })
}
