//! Callers' own names for runs, in SQLite.

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{
    AnswerBounds, Claim, ClaimQuota, ClaimRequest, Claimed, Claims, Holder, NameBounds, OF_PROJECT, PortResult,
};
use faas_types::{Digest, FunctionId, ProjectId, RunId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteQueue;
use crate::sqlite::{self, WorkResult, id_blob, integer, millis, unsigned};

/// Answers that one commit drops to make room for another, which is not kept if that is not enough.
const DROPPED_MAX: usize = 256;
/// Causes that one commit forgets for each that it adds, so that a bound that was lowered is reached in the end.
const FORGOTTEN_MAX: u64 = 64;

/// Who holds a name.
pub(crate) struct HeldClaim {
    pub(crate) run: RunId,
    pub(crate) fingerprint: Digest,
    calling: bool,
    reply: Option<Vec<u8>>,
}

/// Names and the bytes of their answers, of a function or a project.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    names: u64,
    keyless_names: u64,
    causes: u64,
    bytes: u64,
    keyless_bytes: u64,
}

#[async_trait]
impl Claims for SqliteQueue {
    async fn claim(&self, request: ClaimRequest) -> PortResult<Claimed> {
        self.shared.space.admit()?;
        self.shared.main.write(move |connection| claim(connection, &request), |_| {}).await
    }

    async fn resume(&self, project: ProjectId, run: RunId, key: &str) -> PortResult<bool> {
        self.shared.space.admit()?;
        let key = key.to_owned();
        let work = move |connection: &Connection| {
            let resumed = connection
                .prepare_cached(
                    "UPDATE claims SET calling = 1
                     WHERE project = ?1 AND function = ?2 AND key = ?3 AND run = ?4 AND calling = 0 AND reply IS NULL",
                )?
                .execute(params![id_blob(project), id_blob(OF_PROJECT), key, id_blob(run)])?;
            Ok(resumed > 0)
        };
        self.shared.main.write(work, |_| {}).await
    }

    async fn answer(
        &self,
        project: ProjectId,
        function: FunctionId,
        run: RunId,
        key: &str,
        reply: Bytes,
        bounds: AnswerBounds,
    ) -> PortResult<()> {
        let key = key.to_owned();
        let work = move |connection: &Connection| {
            let owner = (id_blob(project), id_blob(function));
            let keyless: Option<bool> = connection
                .prepare_cached(
                    "UPDATE claims SET calling = 0, reply = ?5, kept = ?6
                     WHERE project = ?1 AND function = ?2 AND key = ?3 AND run = ?4 RETURNING keyless",
                )?
                .query_row(
                    params![owner.0, owner.1, key, id_blob(run), &reply[..], integer(reply.len() as u64)],
                    |row| row.get(0),
                )
                .optional()?;
            let Some(keyless) = keyless else { return Ok(()) };
            if !make_room(connection, owner, keyless, bounds)? {
                connection
                    .prepare_cached(
                        "UPDATE claims SET reply = x'', kept = 0 WHERE project = ?1 AND function = ?2 AND key = ?3",
                    )?
                    .execute(params![owner.0, owner.1, key])?;
            }
            Ok(())
        };
        self.shared.main.write(work, |()| {}).await
    }

    async fn release(&self, project: ProjectId, function: FunctionId, run: RunId, key: &str) -> PortResult<()> {
        let key = key.to_owned();
        let work = move |connection: &Connection| {
            connection
                .prepare_cached("DELETE FROM claims WHERE project = ?1 AND function = ?2 AND key = ?3 AND run = ?4")?
                .execute(params![id_blob(project), id_blob(function), key, id_blob(run)])?;
            Ok(())
        };
        self.shared.main.write(work, |()| {}).await
    }

    async fn expire_claims(&self, now: Timestamp, limit: u32) -> PortResult<u64> {
        let work = move |connection: &Connection| {
            let gone = connection
                .prepare_cached(
                    "DELETE FROM claims WHERE (project, function, key) IN (
                         SELECT project, function, key FROM claims INDEXED BY claims_age
                         WHERE expires_at <= ?1 AND calling = 0 ORDER BY expires_at LIMIT ?2)",
                )?
                .execute(params![millis(now), limit])?;
            connection.prepare_cached("DELETE FROM claim_usage WHERE names + causes <= 0")?.execute([])?;
            Ok(gone as u64)
        };
        self.shared.main.write(work, |_| {}).await
    }
}

fn claim(connection: &Connection, request: &ClaimRequest) -> WorkResult<Claimed> {
    let ClaimRequest { project, function, claim, run, now } = request;
    if let Some(held) = held(connection, *project, *function, &claim.key, *now)? {
        let same = held.fingerprint == claim.fingerprint;
        let holder = match (held.calling, held.reply) {
            (true, _) => Holder::Calling,
            (false, Some(reply)) => Holder::Answered(reply.into()),
            (false, None) if *function == OF_PROJECT => Holder::Lost,
            (false, None) => Holder::Accepted,
        };
        return Ok(Claimed::Held { run: held.run, same, holder });
    }
    if !fits(connection, *project, *function, claim.quota)? {
        return Ok(Claimed::TooMany);
    }
    take(connection, *project, *function, claim, *run, true)?;
    Ok(Claimed::Yours)
}

/// Whether another name may be held. Causes make room for another by themselves.
pub(crate) fn fits(
    connection: &Connection,
    project: ProjectId,
    function: FunctionId,
    quota: Option<ClaimQuota>,
) -> WorkResult<bool> {
    let (project, function) = (id_blob(project), id_blob(function));
    match quota {
        None => Ok(true),
        Some(ClaimQuota::Cause(most)) => forget_causes(connection, project, function, most).map(|()| true),
        Some(ClaimQuota::Caller { all, keyless }) => {
            let own = usage(connection, project, &function)?;
            let whole = usage(connection, project, PROJECT)?;
            // Callers without a key have room within their part only, and only while the whole is not used up.
            Ok(own.names < all.function
                && whole.names < all.project
                && keyless.is_none_or(|part| own.keyless_names < part.function && whole.keyless_names < part.project))
        }
    }
}

/// Forgets the oldest causes until there is room for another. One whose sender waits for the answer stays.
fn forget_causes(connection: &Connection, project: [u8; 16], function: [u8; 16], most: NameBounds) -> WorkResult<()> {
    let beyond = |held: u64, most: u64| integer((held + 1).saturating_sub(most).min(FORGOTTEN_MAX));
    let own = beyond(usage(connection, project, &function)?.causes, most.function);
    if own > 0 {
        connection
            .prepare_cached(
                "DELETE FROM claims WHERE (project, function, key) IN (
                     SELECT project, function, key FROM claims INDEXED BY claims_causes
                     WHERE project = ?1 AND function = ?2 AND cause = 1 AND calling = 0 ORDER BY run LIMIT ?3)",
            )?
            .execute(params![project, function, own])?;
    }
    let all = beyond(usage(connection, project, PROJECT)?.causes, most.project);
    if all > 0 {
        connection
            .prepare_cached(
                "DELETE FROM claims WHERE (project, function, key) IN (
                     SELECT project, function, key FROM claims INDEXED BY claims_causes_project
                     WHERE project = ?1 AND cause = 1 AND calling = 0 ORDER BY run LIMIT ?2)",
            )?
            .execute(params![project, all])?;
    }
    Ok(())
}

/// The function of a project's own row.
const PROJECT: &[u8] = &[];

fn usage(connection: &Connection, project: [u8; 16], function: &[u8]) -> WorkResult<Usage> {
    let usage = connection
        .prepare_cached(
            "SELECT names, keyless_names, causes, bytes, keyless_bytes FROM claim_usage
             WHERE project = ?1 AND function = ?2",
        )?
        .query_row(params![project, function], |row| {
            Ok(Usage {
                names: unsigned(row.get(0)?),
                keyless_names: unsigned(row.get(1)?),
                causes: unsigned(row.get(2)?),
                bytes: unsigned(row.get(3)?),
                keyless_bytes: unsigned(row.get(4)?),
            })
        })
        .optional()?;
    Ok(usage.unwrap_or_default())
}

/// Drops old answers until the bounds hold. `false` when even the newest one would have to go.
fn make_room(
    connection: &Connection,
    (project, function): ([u8; 16], [u8; 16]),
    keyless: bool,
    bounds: AnswerBounds,
) -> WorkResult<bool> {
    for _ in 0..DROPPED_MAX {
        let (own, all) = (usage(connection, project, &function)?, usage(connection, project, PROJECT)?);
        // Answers without a key stand first, so that one that goes for their own bound is one of them.
        let function_full = own.bytes > bounds.all.function || (keyless && own.keyless_bytes > bounds.keyless.function);
        let project_full = all.bytes > bounds.all.project || (keyless && all.keyless_bytes > bounds.keyless.project);
        let dropped = if function_full {
            connection
                .prepare_cached(
                    "UPDATE claims SET reply = x'', kept = 0 WHERE (project, function, key) IN (
                         SELECT project, function, key FROM claims INDEXED BY claims_kept
                         WHERE project = ?1 AND function = ?2 AND kept > 0 ORDER BY keyless DESC, expires_at LIMIT 1)",
                )?
                .execute(params![project, function])?
        } else if project_full {
            connection
                .prepare_cached(
                    "UPDATE claims SET reply = x'', kept = 0 WHERE (project, function, key) IN (
                         SELECT project, function, key FROM claims INDEXED BY claims_kept_project
                         WHERE project = ?1 AND kept > 0 ORDER BY keyless DESC, expires_at LIMIT 1)",
                )?
                .execute([project])?
        } else {
            return Ok(true);
        };
        if dropped == 0 {
            break;
        }
    }
    Ok(false)
}

/// Who holds a name that has not expired. A call whose caller waits holds it however long that takes.
pub(crate) fn held(
    connection: &Connection,
    project: ProjectId,
    function: FunctionId,
    key: &str,
    now: Timestamp,
) -> WorkResult<Option<HeldClaim>> {
    let held = connection
        .prepare_cached(
            "SELECT run, fingerprint, calling, reply FROM claims
             WHERE project = ?1 AND function = ?2 AND key = ?3 AND (expires_at > ?4 OR calling = 1)",
        )?
        .query_row(params![id_blob(project), id_blob(function), key, millis(now)], |row| {
            Ok(HeldClaim {
                run: sqlite::id(row.get(0)?),
                fingerprint: Digest::from_bytes(row.get(1)?),
                calling: row.get(2)?,
                reply: row.get(3)?,
            })
        })
        .optional()?;
    Ok(held)
}

/// Gives a free name to a run.
pub(crate) fn take(
    connection: &Connection,
    project: ProjectId,
    function: FunctionId,
    claim: &Claim,
    run: RunId,
    calling: bool,
) -> WorkResult<()> {
    // Not replaced in one statement: that would not be counted out.
    connection
        .prepare_cached("DELETE FROM claims WHERE project = ?1 AND function = ?2 AND key = ?3")?
        .execute(params![id_blob(project), id_blob(function), claim.key])?;
    connection
        .prepare_cached(
            "INSERT INTO claims (project, function, key, run, fingerprint, expires_at, calling, keyless, cause)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            id_blob(project),
            id_blob(function),
            claim.key,
            id_blob(run),
            claim.fingerprint.as_bytes(),
            millis(claim.expires_at),
            calling,
            claim.quota.is_some_and(ClaimQuota::is_keyless),
            claim.quota.is_some_and(ClaimQuota::is_cause),
        ])?;
    Ok(())
}
