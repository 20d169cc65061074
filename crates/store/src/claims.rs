//! Callers' own names for runs, in SQLite.

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{Claim, ClaimRequest, Claimed, Claims, Holder, PortResult};
use faas_types::{Digest, FunctionId, ProjectId, RunId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::queue::SqliteQueue;
use crate::sqlite::{self, WorkResult, id_blob, millis};

/// Who holds a name.
pub(crate) struct HeldClaim {
    pub(crate) run: RunId,
    pub(crate) fingerprint: Digest,
    calling: bool,
    reply: Option<Vec<u8>>,
}

#[async_trait]
impl Claims for SqliteQueue {
    async fn claim(&self, request: ClaimRequest) -> PortResult<Claimed> {
        self.core.space.admit()?;
        self.core.main.write(move |connection| claim(connection, &request), |_| {}).await
    }

    async fn answer(
        &self,
        project: ProjectId,
        function: FunctionId,
        run: RunId,
        key: &str,
        reply: Bytes,
    ) -> PortResult<()> {
        let key = key.to_owned();
        let work = move |connection: &Connection| {
            connection
                .prepare_cached(
                    "UPDATE claims SET calling = 0, reply = ?5
                     WHERE project = ?1 AND function = ?2 AND key = ?3 AND run = ?4",
                )?
                .execute(params![id_blob(project), id_blob(function), key, id_blob(run), &reply[..]])?;
            Ok(())
        };
        self.core.main.write(work, |()| {}).await
    }

    async fn release(&self, project: ProjectId, function: FunctionId, run: RunId, key: &str) -> PortResult<()> {
        let key = key.to_owned();
        let work = move |connection: &Connection| {
            connection
                .prepare_cached("DELETE FROM claims WHERE project = ?1 AND function = ?2 AND key = ?3 AND run = ?4")?
                .execute(params![id_blob(project), id_blob(function), key, id_blob(run)])?;
            Ok(())
        };
        self.core.main.write(work, |()| {}).await
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
            Ok(gone as u64)
        };
        self.core.main.write(work, |_| {}).await
    }
}

fn claim(connection: &Connection, request: &ClaimRequest) -> WorkResult<Claimed> {
    let ClaimRequest { project, function, claim, run, now } = request;
    if let Some(held) = held(connection, *project, *function, &claim.key, *now)? {
        let same = held.fingerprint == claim.fingerprint;
        let holder = match (held.calling, held.reply) {
            (true, _) => Holder::Calling,
            (false, Some(reply)) => Holder::Answered(reply.into()),
            (false, None) => Holder::Accepted,
        };
        return Ok(Claimed::Held { run: held.run, same, holder });
    }
    take(connection, *project, *function, claim, *run, true)?;
    Ok(Claimed::Yours)
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

/// Gives a name that nobody holds to a run.
pub(crate) fn take(
    connection: &Connection,
    project: ProjectId,
    function: FunctionId,
    claim: &Claim,
    run: RunId,
    calling: bool,
) -> WorkResult<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO claims (project, function, key, run, fingerprint, expires_at, calling, reply)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL)",
        )?
        .execute(params![
            id_blob(project),
            id_blob(function),
            claim.key,
            id_blob(run),
            claim.fingerprint.as_bytes(),
            millis(claim.expires_at),
            calling,
        ])?;
    Ok(())
}
