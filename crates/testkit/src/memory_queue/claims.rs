//! Callers' own names for runs, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{
    AnswerBounds, Claim, ClaimQuota, ClaimRequest, Claimed, Claims, Holder, NameBounds, OF_PROJECT, PortResult,
};
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
    keyless: bool,
    cause: bool,
}

type Owner = (ProjectId, FunctionId);

// === impl ClaimTable ===

impl ClaimTable {
    pub(super) fn held(&self, owner: (ProjectId, FunctionId), key: &str, now: Timestamp) -> Option<&Row> {
        self.rows.get(&(owner.0, owner.1, key.to_owned())).filter(|row| row.calling || row.expires_at > now)
    }

    pub(super) fn take(&mut self, owner: (ProjectId, FunctionId), claim: Claim, run: RunId, calling: bool) {
        let Claim { key, fingerprint, expires_at, quota } = claim;
        let keyless = quota.is_some_and(ClaimQuota::is_keyless);
        let cause = quota.is_some_and(ClaimQuota::is_cause);
        let row = Row { run, fingerprint, expires_at, calling, reply: None, keyless, cause };
        self.rows.insert((owner.0, owner.1, key), row);
    }

    /// Whether another name may be held. Causes make room for another by themselves.
    pub(super) fn fits(&mut self, owner: Owner, quota: Option<ClaimQuota>) -> bool {
        match quota {
            None => true,
            Some(ClaimQuota::Cause(most)) => {
                while self.is_full(owner, most, |row| row.cause) && self.forget_cause(owner, most) {}
                true
            }
            Some(ClaimQuota::Caller { all, keyless }) => {
                !self.is_full(owner, all, |row| !row.cause)
                    && keyless.is_none_or(|part| !self.is_full(owner, part, |row| row.keyless))
            }
        }
    }

    fn is_full(&self, owner: Owner, most: NameBounds, counts: impl Fn(&Row) -> bool) -> bool {
        let of_project = self.rows.iter().filter(|(key, row)| key.0 == owner.0 && counts(row));
        let of_function = of_project.clone().filter(|(key, _)| key.1 == owner.1);
        of_function.count() as u64 >= most.function || of_project.count() as u64 >= most.project
    }

    /// Forgets the oldest cause of the function, or of the project where that is full; whether there was one.
    fn forget_cause(&mut self, owner: Owner, most: NameBounds) -> bool {
        let within_function = self.is_full(owner, NameBounds { project: u64::MAX, ..most }, |row| row.cause);
        let may_go = self.rows.iter().filter(|(key, row)| {
            key.0 == owner.0 && (!within_function || key.1 == owner.1) && row.cause && !row.calling
        });
        let oldest = may_go.min_by_key(|(_, row)| row.run).map(|(key, _)| key.clone());
        oldest.is_some_and(|key| self.rows.remove(&key).is_some())
    }

    /// Drops answers beyond the bounds.
    fn make_room(&mut self, owner: Owner, keyless: bool, bounds: AnswerBounds) {
        loop {
            let bytes = |own: bool, keyless: bool| -> u64 {
                let counted = self
                    .rows
                    .iter()
                    .filter(|(key, row)| key.0 == owner.0 && (!own || key.1 == owner.1) && (!keyless || row.keyless));
                counted.map(|(_, row)| row.size()).sum()
            };
            let function_full =
                bytes(true, false) > bounds.all.function || (keyless && bytes(true, true) > bounds.keyless.function);
            let project_full =
                bytes(false, false) > bounds.all.project || (keyless && bytes(false, true) > bounds.keyless.project);
            if !function_full && !project_full {
                return;
            }
            let kept = self
                .rows
                .iter_mut()
                .filter(|(key, row)| row.size() > 0 && key.0 == owner.0 && (!function_full || key.1 == owner.1));
            match kept.min_by_key(|(_, row)| (!row.keyless, row.expires_at)) {
                Some((_, row)) => row.reply = Some(Bytes::new()),
                None => return,
            }
        }
    }
}

// === impl Row ===

impl Row {
    fn size(&self) -> u64 {
        self.reply.as_ref().map_or(0, |reply| reply.len() as u64)
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
                (false, None) if function == OF_PROJECT => Holder::Lost,
                (false, None) => Holder::Accepted,
            };
            return Ok(Claimed::Held { run: row.run, same: row.fingerprint == claim.fingerprint, holder });
        }
        if !claims.fits((project, function), claim.quota) {
            return Ok(Claimed::TooMany);
        }
        claims.take((project, function), claim, run, true);
        Ok(Claimed::Yours)
    }

    async fn resume(&self, project: ProjectId, run: RunId, key: &str) -> PortResult<bool> {
        let mut state = self.state.lock();
        let row = state.claims.rows.get_mut(&(project, OF_PROJECT, key.to_owned()));
        let Some(row) = row.filter(|row| row.run == run && !row.calling && row.reply.is_none()) else {
            return Ok(false);
        };
        row.calling = true;
        Ok(true)
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
        let mut state = self.state.lock();
        if let Some(row) = state.claims.rows.get_mut(&(project, function, key.to_owned()))
            && row.run == run
        {
            (row.calling, row.reply) = (false, Some(reply));
            let keyless = row.keyless;
            state.claims.make_room((project, function), keyless, bounds);
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
