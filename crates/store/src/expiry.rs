//! Forgetting, in steps that are short enough not to be felt by those who write meanwhile.
//!
//! Each step is one transaction of each database, so that a server that is killed in between has either taken it or not.

use faas_ports::{Expired, Expiry, PortResult};
use faas_types::RunId;
use rusqlite::{Connection, OptionalExtension, params};

use crate::logs;
use crate::run_filter::first_id;
use crate::run_rows::{decode, encoded};
use crate::shared::Shared;
use crate::sqlite::{Database, WorkResult, id_blob, integer, unsigned};

/// Free bytes that a database keeps for its next rows.
const SLACK: u64 = 16 << 20;
/// Pages that one step gives back.
const RECLAIM_PAGES: u64 = 256;

/// One step over both databases.
pub(crate) async fn step(shared: &Shared, expiry: &Expiry) -> PortResult<Expired> {
    let (of_runs, of_lines) = (expiry.clone(), expiry.clone());
    let (runs, results) = shared
        .main
        .write(
            move |connection| Ok((forget_runs(connection, &of_runs)?, remove_results(connection, &of_runs)?)),
            |_| {},
        )
        .await?;
    let (lines, log_bytes) = shared.logs.write(move |connection| logs::forget(connection, &of_lines), |_| {}).await?;
    let (main, main_left) = reclaim(&shared.main).await?;
    let (logs, logs_left) = reclaim(&shared.logs).await?;
    let full = [runs, results, lines].contains(&u64::from(expiry.limit));
    Ok(Expired { runs, results, lines, reclaimed: main + logs, log_bytes, more: full || main_left || logs_left })
}

fn forget_runs(connection: &Connection, expiry: &Expiry) -> WorkResult<u64> {
    let gone = connection
        .prepare_cached(
            "DELETE FROM runs WHERE rowid IN (
                 SELECT rowid FROM runs INDEXED BY runs_id
                 WHERE project = ?1 AND id < ?2 AND ended = 1 ORDER BY id LIMIT ?3)",
        )?
        .execute(params![id_blob(expiry.project), first_id(expiry.runs_before), expiry.limit])?;
    let left = u64::from(expiry.limit).saturating_sub(gone as u64);
    Ok(gone as u64 + forget_surplus(connection, expiry, left)?)
}

/// Removes at most `limit` of the oldest runs that have ended while there are more bytes than may be.
fn forget_surplus(connection: &Connection, expiry: &Expiry, limit: u64) -> WorkResult<u64> {
    let project = id_blob(expiry.project);
    let used: Option<i64> = connection
        .prepare_cached("SELECT bytes FROM run_usage WHERE project = ?1")?
        .query_row([project], |row| row.get(0))
        .optional()?;
    let mut surplus = used.unwrap_or(0).saturating_sub(integer(expiry.run_bytes_max));
    if surplus <= 0 || limit == 0 {
        return Ok(0);
    }
    let mut oldest = connection.prepare_cached(
        "SELECT rowid, length(CAST(record AS BLOB)) FROM runs INDEXED BY runs_id
         WHERE project = ?1 AND ended = 1 ORDER BY id LIMIT ?2",
    )?;
    let rows: Vec<(i64, i64)> = oldest
        .query_map(params![project, integer(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut remove = connection.prepare_cached("DELETE FROM runs WHERE rowid = ?1")?;
    let mut gone = 0;
    for (row, bytes) in rows {
        if surplus <= 0 {
            break;
        }
        remove.execute([row])?;
        surplus -= bytes;
        gone += 1;
    }
    Ok(gone)
}

/// Goes on where the last step ended; returns how many runs it has looked at.
fn remove_results(connection: &Connection, expiry: &Expiry) -> WorkResult<u64> {
    let project = id_blob(expiry.project);
    let end = first_id(expiry.results_before);
    let from: [u8; 16] = connection
        .prepare_cached("SELECT before FROM results_removed WHERE project = ?1")?
        .query_row([project], |row| row.get(0))
        .optional()?
        .unwrap_or_default();
    if from >= end {
        return Ok(0);
    }
    let rows: Vec<(i64, [u8; 16], String)> = connection
        .prepare_cached(
            "SELECT rowid, id, record FROM runs INDEXED BY runs_id
             WHERE project = ?1 AND id >= ?2 AND id < ?3 ORDER BY id LIMIT ?4",
        )?
        .query_map(params![project, from, end, expiry.limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut update = connection.prepare_cached("UPDATE runs SET record = ?2 WHERE rowid = ?1")?;
    for (row, _, json) in &rows {
        let mut run = decode(json)?;
        if run.result.take().is_some() {
            update.execute(params![row, encoded(&run)?])?;
        }
    }
    let reached = match rows.last() {
        Some((_, id, _)) if rows.len() == expiry.limit as usize => after(*id),
        _ => end,
    };
    connection
        .prepare_cached(
            "INSERT INTO results_removed (project, before) VALUES (?1, ?2)
             ON CONFLICT (project) DO UPDATE SET before = excluded.before",
        )?
        .execute(params![project, reached])?;
    Ok(rows.len() as u64)
}

fn after(id: [u8; 16]) -> [u8; 16] {
    id_blob(RunId::from_u128(u128::from_be_bytes(id).saturating_add(1)))
}

/// Gives free pages back to the file system; returns the bytes, and whether there are more.
async fn reclaim(database: &Database) -> PortResult<(u64, bool)> {
    let free = |connection: &Connection| -> WorkResult<u64> {
        Ok(unsigned(connection.prepare_cached("PRAGMA freelist_count")?.query_row([], |row| row.get(0))?))
    };
    let page: u64 = 4096;
    let slack = SLACK / page;
    if database.read(move |connection| free(connection)).await? <= slack {
        return Ok((0, false));
    }
    let work = move |connection: &Connection| {
        let before = free(connection)?;
        let pages = before.saturating_sub(slack).min(RECLAIM_PAGES);
        connection.execute_batch(&format!("PRAGMA incremental_vacuum({pages})"))?;
        Ok((before, free(connection)?))
    };
    let (before, left) = database.write(work, |_| {}).await?;
    let gone = before.saturating_sub(left);
    Ok((gone * page, gone > 0 && left > slack))
}
