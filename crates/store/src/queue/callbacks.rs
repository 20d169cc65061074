//! Messages about ended runs, in SQLite.

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{CallbackDepth, Callbacks, NewCallback, PortResult, TakeCallbacks, TakenCallback};
use faas_types::{Callback, ProjectId, RunId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteQueue;
use crate::run_rows::{decode, encoded};
use crate::sqlite::{self, WorkResult, id_blob, millis, timestamp, unsigned};

/// Hosts that one look visits; those behind them are found by a later look.
const HOSTS_MAX: usize = 1_000;

#[async_trait]
impl Callbacks for SqliteQueue {
    async fn next_callback(&self) -> PortResult<Option<Timestamp>> {
        let work = |connection: &Connection| {
            let next: Option<i64> = connection
                .prepare_cached("SELECT min(due_at) FROM callbacks INDEXED BY callbacks_due")?
                .query_row([], |row| row.get(0))?;
            Ok(next.map(timestamp))
        };
        self.shared.main.read(work).await
    }

    async fn take_callbacks(&self, take: TakeCallbacks) -> PortResult<Vec<TakenCallback>> {
        self.shared.main.write(move |connection| self::take(connection, &take), |_| {}).await
    }

    async fn note_callback(
        &self,
        project: ProjectId,
        run: RunId,
        callback: Callback,
        again: Option<Timestamp>,
    ) -> PortResult<bool> {
        let note = || {
            let callback = callback.clone();
            let work = move |connection: &Connection| note(connection, project, run, callback.clone(), again);
            self.shared.main.write(work, |_| {})
        };
        self.shared.space.freeing(note).await
    }

    async fn callback_depths(&self) -> PortResult<Vec<CallbackDepth>> {
        let work = |connection: &Connection| {
            let mut select = connection
                .prepare_cached("SELECT project, count(*), sum(length(body)) FROM callbacks GROUP BY project")?;
            let depths = select.query_map([], |row| {
                let (messages, bytes) = (unsigned(row.get(1)?), unsigned(row.get(2)?));
                Ok(CallbackDepth { project: sqlite::id(row.get(0)?), messages, bytes })
            })?;
            Ok(depths.collect::<Result<_, _>>()?)
        };
        self.shared.main.read(work).await
    }
}

pub(crate) fn add(connection: &Connection, project: ProjectId, run: RunId, callback: &NewCallback) -> WorkResult<()> {
    connection
        .prepare_cached(
            "INSERT INTO callbacks (project, run, host, url, ended_at, due_at, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)",
        )?
        .execute(params![
            id_blob(project),
            id_blob(run),
            callback.host,
            callback.url,
            millis(callback.ended_at),
            &callback.body[..]
        ])?;
    Ok(())
}

fn take(connection: &Connection, take: &TakeCallbacks) -> WorkResult<Vec<TakenCallback>> {
    let mut next =
        connection.prepare_cached("SELECT host FROM callbacks WHERE host > ?1 AND host <= ?2 ORDER BY host LIMIT 1")?;
    let mut taken = Vec::new();
    // All text sorts before what follows the last character.
    let behind = (take.after.clone(), "\u{10FFFF}".to_owned());
    let mut looks = 0;
    for (mut after, end) in [behind, (String::new(), take.after.clone())] {
        while looks < HOSTS_MAX && taken.len() < take.limit as usize {
            let host: Option<String> = next.query_row(params![after, end], |row| row.get(0)).optional()?;
            let Some(host) = host else { break };
            take_host(connection, take, &host, &mut taken)?;
            looks += 1;
            after = host;
        }
    }
    Ok(taken)
}

fn take_host(
    connection: &Connection,
    take: &TakeCallbacks,
    host: &str,
    taken: &mut Vec<TakenCallback>,
) -> WorkResult<()> {
    let busy = take.busy.iter().find(|(other, _)| other == host).map_or(0, |(_, count)| *count);
    let left = take.limit.saturating_sub(u32::try_from(taken.len()).unwrap_or(u32::MAX));
    let most = take.per_host.saturating_sub(busy).min(left);
    let mut select = connection.prepare_cached(
        "SELECT rowid, project, run, url, ended_at, attempts, body FROM callbacks INDEXED BY callbacks_host
         WHERE host = ?1 AND due_at <= ?2 ORDER BY due_at LIMIT ?3",
    )?;
    let rows: Vec<(i64, TakenCallback)> = select
        .query_map(params![host, millis(take.now), most], |row| {
            let callback = NewCallback {
                host: host.to_owned(),
                url: row.get(3)?,
                ended_at: timestamp(row.get(4)?),
                body: Bytes::from(row.get::<_, Vec<u8>>(6)?),
            };
            let attempts = row.get::<_, u32>(5)?.saturating_add(1);
            let (project, run) = (sqlite::id(row.get(1)?), sqlite::id(row.get(2)?));
            Ok((row.get(0)?, TakenCallback { project, run, callback, attempts }))
        })?
        .collect::<Result<_, _>>()?;
    let mut mark = connection
        .prepare_cached("UPDATE callbacks SET taken = 1, attempts = attempts + 1, due_at = ?2 WHERE rowid = ?1")?;
    for (row, callback) in rows {
        mark.execute(params![row, millis(take.until)])?;
        taken.push(callback);
    }
    Ok(())
}

fn note(
    connection: &Connection,
    project: ProjectId,
    run: RunId,
    callback: Callback,
    again: Option<Timestamp>,
) -> WorkResult<bool> {
    let key = (id_blob(project), id_blob(run));
    let changed = match again {
        Some(at) => connection
            .prepare_cached("UPDATE callbacks SET taken = 0, due_at = ?3 WHERE project = ?1 AND run = ?2")?
            .execute(params![key.0, key.1, millis(at)])?,
        None => connection
            .prepare_cached("DELETE FROM callbacks WHERE project = ?1 AND run = ?2")?
            .execute(params![key.0, key.1])?,
    };
    let json: Option<String> = connection
        .prepare_cached("SELECT record FROM runs WHERE project = ?1 AND id = ?2")?
        .query_row(params![key.0, key.1], |row| row.get(0))
        .optional()?;
    let went = again.is_none() && changed > 0;
    let Some(json) = json.filter(|_| changed > 0) else { return Ok(went) };
    let mut record = decode(&json)?;
    record.completion.get_or_insert_default().callback = Some(callback);
    connection.prepare_cached("UPDATE runs SET record = ?3 WHERE project = ?1 AND id = ?2")?.execute(params![
        key.0,
        key.1,
        encoded(&record)?
    ])?;
    Ok(went)
}
