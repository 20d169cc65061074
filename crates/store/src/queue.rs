//! The run queue in SQLite.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{Lease, NewItem, PortError, PortResult, QueueDepth, QueueItem, RunQueue};
use faas_types::{FunctionId, ProjectId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::sqlite::{self, WorkResult, id_blob, integer, millis, timestamp, unsigned};
use crate::store::Core;

/// Sleeps until it is due: delayed, or leased.
const SLEEPING: i64 = 0;
/// Waits behind an earlier item of its ordering key.
const BLOCKED: i64 = 2;

/// Queued runs in `faas.db`.
#[derive(Debug)]
pub(crate) struct SqliteQueue {
    core: Arc<Core>,
}

// === impl SqliteQueue ===

impl SqliteQueue {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

#[async_trait]
impl RunQueue for SqliteQueue {
    async fn enqueue(&self, items: Vec<NewItem>) -> PortResult<()> {
        self.core.space.admit()?;
        self.core
            .main
            .write(move |connection| items.iter().try_for_each(|item| enqueue(connection, item)), |()| {})
            .await
    }

    async fn lease(&self, worker: &str, max: u32, ttl: Duration, now: Timestamp) -> PortResult<Vec<Lease>> {
        let worker = worker.to_owned();
        self.core.main.write(move |connection| lease(connection, &worker, max, now, now.plus(ttl)), |_| {}).await
    }

    async fn extend(&self, lease: &Lease, expires_at: Timestamp) -> PortResult<()> {
        let lease = lease.clone();
        let work =
            move |connection: &Connection| {
                let seq = held(connection, &lease)?;
                connection
                    .prepare_cached("UPDATE queue SET stage = ?2, due_at = ?3 WHERE seq = ?1")?
                    .execute(params![seq, SLEEPING, millis(expires_at)])?;
                Ok(())
            };
        self.core.main.write(work, |()| {}).await
    }

    async fn ack(&self, lease: &Lease) -> PortResult<()> {
        let finish = || {
            let lease = lease.clone();
            let work = move |connection: &Connection| {
                let seq = held(connection, &lease)?;
                leave(connection, seq, &lease.item.item)
            };
            self.core.main.write(work, |()| {})
        };
        self.core.space.freeing(finish).await
    }

    async fn nak(&self, lease: &Lease, not_before: Timestamp) -> PortResult<()> {
        let lease = lease.clone();
        let work = move |connection: &Connection| {
            let seq = held(connection, &lease)?;
            connection
                .prepare_cached(
                    "UPDATE queue SET stage = ?2, due_at = ?3, not_before = ?3, worker = NULL WHERE seq = ?1",
                )?
                .execute(params![seq, SLEEPING, millis(not_before)])?;
            Ok(())
        };
        self.core.main.write(work, |()| {}).await
    }

    async fn dead_letter(&self, lease: &Lease, reason: &str) -> PortResult<()> {
        let (lease, reason) = (lease.clone(), reason.to_owned());
        let work = move |connection: &Connection| {
            let seq = held(connection, &lease)?;
            connection
                .prepare_cached(
                    "INSERT INTO dead_letters
                         (project, run, function, seq, not_before, priority, ordering_key, payload, deliveries, reason)
                     SELECT project, run, function, seq, not_before, priority, ordering_key, payload, deliveries, ?2
                     FROM queue WHERE seq = ?1",
                )?
                .execute(params![seq, reason])?;
            leave(connection, seq, &lease.item.item)
        };
        self.core.main.write(work, |()| {}).await
    }

    async fn depth(&self, project: ProjectId, function: Option<FunctionId>) -> PortResult<QueueDepth> {
        self.core.main.read(move |connection| depth(connection, project, function)).await
    }
}

fn enqueue(connection: &Connection, item: &NewItem) -> WorkResult<()> {
    let owner = (id_blob(item.project), id_blob(item.run));
    let known: bool = connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM queue WHERE project = ?1 AND run = ?2)
                 OR EXISTS (SELECT 1 FROM dead_letters WHERE project = ?1 AND run = ?2)",
        )?
        .query_row(params![owner.0, owner.1], |row| row.get(0))?;
    if known {
        return Err(PortError::Exists { what: format!("the queued run {}", item.run) }.into());
    }
    let behind = match &item.ordering_key {
        Some(key) => first_of_key(connection, item.project, item.function, key)?.is_some(),
        None => false,
    };
    connection
        .prepare_cached(
            "INSERT INTO queue (project, run, function, stage, due_at, not_before, priority, ordering_key, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            owner.0,
            owner.1,
            id_blob(item.function),
            if behind { BLOCKED } else { SLEEPING },
            millis(item.not_before),
            item.priority,
            item.ordering_key,
            &item.payload[..],
        ])?;
    Ok(())
}

fn lease(
    connection: &Connection,
    worker: &str,
    max: u32,
    now: Timestamp,
    expires_at: Timestamp,
) -> WorkResult<Vec<Lease>> {
    connection.prepare_cached("UPDATE queue SET stage = 1 WHERE stage = 0 AND due_at <= ?1")?.execute([millis(now)])?;
    let mut select = connection.prepare_cached(
        "SELECT seq, project, run, function, not_before, priority, ordering_key, payload, deliveries
         FROM queue INDEXED BY queue_ready WHERE stage = 1 ORDER BY priority DESC, seq LIMIT ?1",
    )?;
    let due: Vec<(i64, QueueItem)> = select.query_map([max], item)?.collect::<Result<_, _>>()?;
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
    for (seq, item) in due {
        hand_out.execute(params![seq, SLEEPING, millis(expires_at), epoch, worker])?;
        leases.push(Lease { item, epoch: unsigned(epoch), expires_at });
    }
    Ok(leases)
}

/// The item of a lease that still holds. A lapsed lease holds until the item is handed out again.
fn held(connection: &Connection, lease: &Lease) -> WorkResult<i64> {
    let item = &lease.item.item;
    let seq = connection
        .prepare_cached("SELECT seq FROM queue WHERE project = ?1 AND run = ?2 AND epoch = ?3 AND worker IS NOT NULL")?
        .query_row(params![id_blob(item.project), id_blob(item.run), integer(lease.epoch)], |row| row.get(0))
        .optional()?;
    seq.ok_or_else(|| PortError::LeaseLost.into())
}

/// Takes an item out and lets the next of its ordering key go on.
fn leave(connection: &Connection, seq: i64, item: &NewItem) -> WorkResult<()> {
    connection.prepare_cached("DELETE FROM queue WHERE seq = ?1")?.execute([seq])?;
    if let Some(key) = &item.ordering_key
        && let Some(next) = first_of_key(connection, item.project, item.function, key)?
    {
        connection
            .prepare_cached("UPDATE queue SET stage = ?2 WHERE seq = ?1 AND stage = ?3")?
            .execute(params![next, SLEEPING, BLOCKED])?;
    }
    Ok(())
}

fn first_of_key(
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

fn item(row: &Row<'_>) -> rusqlite::Result<(i64, QueueItem)> {
    let item = NewItem {
        project: sqlite::id(row.get(1)?),
        run: sqlite::id(row.get(2)?),
        function: sqlite::id(row.get(3)?),
        not_before: timestamp(row.get(4)?),
        priority: row.get(5)?,
        ordering_key: row.get(6)?,
        payload: Bytes::from(row.get::<_, Vec<u8>>(7)?),
    };
    Ok((row.get(0)?, QueueItem { item, deliveries: row.get::<_, u32>(8)?.saturating_add(1) }))
}

fn depth(connection: &Connection, project: ProjectId, function: Option<FunctionId>) -> WorkResult<QueueDepth> {
    let (project, function) = (id_blob(project), function.map(id_blob));
    let one = if function.is_some() { "AND function = ?2" } else { "AND ?2 IS NULL" };
    let transaction = connection.unchecked_transaction()?;
    let (all, leased): (i64, i64) = transaction
        .prepare_cached(&format!(
            "SELECT count(*), count(worker) FROM queue INDEXED BY queue_depth WHERE project = ?1 {one}"
        ))?
        .query_row(params![project, function], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let dead: i64 = transaction
        .prepare_cached(&format!("SELECT count(*) FROM dead_letters WHERE project = ?1 {one}"))?
        .query_row(params![project, function], |row| row.get(0))?;
    Ok(QueueDepth { waiting: unsigned(all - leased), leased: unsigned(leased), dead: unsigned(dead) })
}
