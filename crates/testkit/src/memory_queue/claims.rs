//! Callers' own names for runs, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{Claim, ClaimRequest, Claimed, Claims, Holder, PortResult};
use faas_types::{Digest, FunctionId, ProjectId, RunId, Timestamp};

use super::MemoryQueue;

/// Who holds which name.
#[derive(Debug, Default)]
pub(super) struct ClaimTable {
    rows: BTreeMap<(ProjectId, FunctionId, String), Row>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) run: RunId,
    pub(super) fingerprint: Digest,
    expires_at: Timestamp,
    calling: bool,
    reply: Option<Bytes>,
}

// === impl ClaimTable ===

impl ClaimTable {
    pub(super) fn held(&self, owner: (ProjectId, FunctionId), key: &str, now: Timestamp) -> Option<&Row> {
        self.rows.get(&(owner.0, owner.1, key.to_owned())).filter(|row| row.calling || row.expires_at > now)
    }

    pub(super) fn take(&mut self, owner: (ProjectId, FunctionId), claim: Claim, run: RunId, calling: bool) {
        let Claim { key, fingerprint, expires_at } = claim;
        self.rows.insert((owner.0, owner.1, key), Row { run, fingerprint, expires_at, calling, reply: None });
    }
}

#[async_trait]
impl Claims for MemoryQueue {
    async fn claim(&self, request: ClaimRequest) -> PortResult<Claimed> {
        let ClaimRequest { project, function, claim, run, now } = request;
        let claims = &mut self.state.lock().claims;
        if let Some(row) = claims.held((project, function), &claim.key, now) {
            let holder = match (row.calling, &row.reply) {
                (true, _) => Holder::Calling,
                (false, Some(reply)) => Holder::Answered(reply.clone()),
                (false, None) => Holder::Accepted,
            };
            return Ok(Claimed::Held { run: row.run, same: row.fingerprint == claim.fingerprint, holder });
        }
        claims.take((project, function), claim, run, true);
        Ok(Claimed::Yours)
    }

    async fn answer(
        &self,
        project: ProjectId,
        function: FunctionId,
        run: RunId,
        key: &str,
        reply: Bytes,
    ) -> PortResult<()> {
        let mut state = self.state.lock();
        if let Some(row) = state.claims.rows.get_mut(&(project, function, key.to_owned()))
            && row.run == run
        {
            (row.calling, row.reply) = (false, Some(reply));
        }
        Ok(())
    }

    async fn release(&self, project: ProjectId, function: FunctionId, run: RunId, key: &str) -> PortResult<()> {
        let mut state = self.state.lock();
        let place = (project, function, key.to_owned());
        if state.claims.rows.get(&place).is_some_and(|row| row.run == run) {
            state.claims.rows.remove(&place);
        }
        Ok(())
    }

    async fn expire_claims(&self, now: Timestamp, limit: u32) -> PortResult<u64> {
        let mut gone = 0;
        self.state.lock().claims.rows.retain(|_, row| {
            let goes = !row.calling && row.expires_at <= now && gone < u64::from(limit);
            gone += u64::from(goes);
            !goes
        });
        Ok(gone)
    }
}
