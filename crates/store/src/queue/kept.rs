//! Inputs of ended runs, for replays: as many as there is room for.

use std::collections::BTreeMap;

use faas_ports::{ByteBounds, Footprint};
use faas_types::{Digest, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::run_filter::first_id;
use crate::sqlite::{WorkResult, integer, unsigned};

/// Inputs that one commit removes to make room at the least, and twice as many as it adds: it gets there in the end, and no
/// commit takes long.
const TRIMMED: usize = 256;
/// Inputs that are looked at together.
const STEP: u32 = 64;
/// Ranks of inputs whose caller showed a key are higher by this.
const KEYED: i64 = 2;
/// Ranks of inputs with a dead letter are higher by this.
const DEAD: i64 = 1;
/// The function of a project's own row.
const PROJECT: &[u8] = &[];

type Id = [u8; 16];

/// The input of a run that has left the queue.
pub(super) struct EndedInput {
    pub(super) project: Id,
    pub(super) function: Id,
    pub(super) run: Id,
    pub(super) footprint: Footprint,
    pub(super) is_dead: bool,
}

// === impl EndedInput ===

impl EndedInput {
    /// Those of a lower rank go first: what anybody could send never outlives what came with a key.
    fn rank(&self) -> i64 {
        (if self.footprint.keyless { 0 } else { KEYED }) + if self.is_dead { DEAD } else { 0 }
    }
}

pub(super) fn add(connection: &Connection, ended: &[EndedInput]) -> WorkResult<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO kept_inputs (project, function, rank, run, bytes, blob) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut count = connection.prepare_cached(
        "INSERT INTO input_usage (project, function, bytes) VALUES (?1, ?2, ?4), (?1, ?3, ?4)
         ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes",
    )?;
    let mut added: BTreeMap<(Id, Id), u64> = BTreeMap::new();
    for one in ended {
        let Footprint { bytes, blob, .. } = &one.footprint;
        let blob = blob.as_ref().map(Digest::as_bytes);
        insert.execute(params![one.project, one.function, one.rank(), one.run, integer(*bytes), blob])?;
        *added.entry((one.project, one.function)).or_default() += bytes;
    }
    for ((project, function), bytes) in added {
        count.execute(params![project, function, PROJECT, integer(bytes)])?;
    }
    Ok(())
}

/// Removes what is beyond the bounds, of these functions and their projects.
pub(super) fn trim(connection: &Connection, ended: &[EndedInput], bounds: ByteBounds) -> WorkResult<Vec<Digest>> {
    let mut owners: Vec<(Id, Id)> = ended.iter().map(|one| (one.project, one.function)).collect();
    owners.sort_unstable();
    owners.dedup();
    let (mut left, mut freed) = (TRIMMED.max(2 * ended.len()), Vec::new());
    for (project, function) in &owners {
        let surplus = usage(connection, *project, function)?.saturating_sub(bounds.function);
        remove(connection, *project, *function, surplus, &mut left, &mut freed)?;
    }
    owners.dedup_by_key(|(project, _)| *project);
    for (project, _) in owners {
        loop {
            let surplus = usage(connection, project, PROJECT)?.saturating_sub(bounds.project);
            let largest = if surplus > 0 && left > 0 { largest(connection, project)? } else { None };
            let Some(function) = largest else { break };
            let before = left;
            remove(connection, project, function, surplus, &mut left, &mut freed)?;
            if left == before {
                break;
            }
        }
    }
    Ok(freed)
}

fn usage(connection: &Connection, project: Id, function: &[u8]) -> WorkResult<u64> {
    let bytes: Option<i64> = connection
        .prepare_cached("SELECT bytes FROM input_usage WHERE project = ?1 AND function = ?2")?
        .query_row(params![project, function], |row| row.get(0))
        .optional()?;
    Ok(unsigned(bytes.unwrap_or_default()))
}

/// The function of a project that keeps most.
fn largest(connection: &Connection, project: Id) -> WorkResult<Option<Id>> {
    let found = connection
        .prepare_cached(
            "SELECT function FROM input_usage WHERE project = ?1 AND function <> x'' AND bytes > 0
             ORDER BY bytes DESC LIMIT 1",
        )?
        .query_row([project], |row| row.get(0))
        .optional()?;
    Ok(found)
}

/// Removes inputs of a function until `surplus` bytes are gone.
fn remove(
    connection: &Connection,
    project: Id,
    function: Id,
    mut surplus: u64,
    left: &mut usize,
    freed: &mut Vec<Digest>,
) -> WorkResult<()> {
    let mut first = connection.prepare_cached(
        "SELECT rank, run, bytes FROM kept_inputs WHERE project = ?1 AND function = ?2 ORDER BY rank, run LIMIT ?3",
    )?;
    while surplus > 0 && *left > 0 {
        let rows: Vec<(i64, Id, i64)> = first
            .query_map(params![project, function, STEP], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        if rows.is_empty() {
            return Ok(());
        }
        for (rank, run, bytes) in rows {
            if surplus == 0 || *left == 0 {
                return Ok(());
            }
            freed.extend(forget(connection, project, function, rank, run)?);
            surplus = surplus.saturating_sub(unsigned(bytes));
            *left -= 1;
        }
    }
    Ok(())
}

/// Forgets an input, with its dead letter where it has one. Its blob, which nothing refers to any more.
fn forget(connection: &Connection, project: Id, function: Id, rank: i64, run: Id) -> WorkResult<Option<Digest>> {
    if rank & DEAD != 0 {
        connection
            .prepare_cached("DELETE FROM dead_letters WHERE project = ?1 AND run = ?2")?
            .execute(params![project, run])?;
    }
    connection.prepare_cached("DELETE FROM inputs WHERE project = ?1 AND run = ?2")?.execute(params![project, run])?;
    let blob: Option<Option<[u8; 32]>> = connection
        .prepare_cached(
            "DELETE FROM kept_inputs WHERE project = ?1 AND function = ?2 AND rank = ?3 AND run = ?4 RETURNING blob",
        )?
        .query_row(params![project, function, rank, run], |row| row.get(0))
        .optional()?;
    Ok(blob.flatten().map(Digest::from_bytes))
}

/// Forgets the input of a dead letter.
pub(crate) fn forget_dead(connection: &Connection, project: Id, function: Id, run: Id) -> WorkResult<Option<Digest>> {
    for rank in [DEAD, KEYED + DEAD] {
        if let Some(blob) = forget(connection, project, function, rank, run)? {
            return Ok(Some(blob));
        }
    }
    Ok(None)
}

/// Forgets inputs of a project that are older and have no dead letter; returns how many went, and their blobs.
pub(crate) fn expire(
    connection: &Connection,
    project: Id,
    before: Timestamp,
    limit: u32,
) -> WorkResult<(u64, Vec<Digest>)> {
    // Function by function and rank by rank, so that each is a seek: ids begin with their time.
    let rows: Vec<(Id, Id, i64, Id)> = connection
        .prepare_cached(
            "SELECT k.project, k.function, k.rank, k.run
             FROM input_usage AS u CROSS JOIN (VALUES (0), (1), (2), (3)) AS r CROSS JOIN kept_inputs AS k
             WHERE u.project = ?3 AND u.function <> x'' AND k.project = u.project AND k.function = u.function AND k.rank = r.column1
               AND k.run < ?1
               AND NOT EXISTS (SELECT 1 FROM dead_letters AS d WHERE d.project = k.project AND d.run = k.run)
             LIMIT ?2",
        )?
        .query_map(params![first_id(before), limit, project], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    let mut freed = Vec::new();
    for (project, function, rank, run) in &rows {
        freed.extend(forget(connection, *project, *function, *rank, *run)?);
    }
    connection.prepare_cached("DELETE FROM input_usage WHERE bytes <= 0")?.execute([])?;
    Ok((rows.len() as u64, freed))
}
