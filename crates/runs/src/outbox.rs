//! How many callbacks are not delivered, so that more are refused before their runs are accepted.

use std::collections::HashMap;

use faas_ports::{CallbackDepth, QueueDepth};
use faas_types::{ByteSize, Code, Fault, ProjectId, limits};
use parking_lot::Mutex;

/// Bytes of callbacks that are not delivered and of those that runs reserve which have not ended, by project.
#[derive(Debug)]
pub(crate) struct Outbox {
    max: u64,
    bytes: Mutex<HashMap<ProjectId, u64>>,
}

// === impl Outbox ===

impl Outbox {
    pub(crate) fn new(depths: &[CallbackDepth], runs: &[QueueDepth], max: u64) -> Self {
        let outbox = Self { max, bytes: Mutex::default() };
        for depth in depths {
            outbox.count(depth.project, depth.bytes + depth.messages * limits::RUN_COST);
        }
        for depth in runs {
            outbox.count(depth.project, depth.reserved);
        }
        outbox
    }

    /// Reserves bytes for the callback of a run that is about to be accepted, or refuses them. One callback has room
    /// whatever the bound is, unless there are to be none.
    pub(crate) fn reserve(&self, project: ProjectId, bytes: u64) -> Result<(), Fault> {
        if bytes == 0 {
            return Ok(());
        }
        let mut all = self.bytes.lock();
        let held = all.get(&project).copied().unwrap_or_default();
        if self.max > 0 && (held == 0 || held.saturating_add(bytes) <= self.max) {
            all.insert(project, held + bytes);
            return Ok(());
        }
        let most = ByteSize::from_bytes(self.max);
        let message = format!(
            "callbacks of this project that are not delivered, and those of runs that have not ended, may take {most}"
        );
        Err(Fault::new(Code::RateLimited, message)
            .with_command_hint(
                "leave `X-Callback-Url` out, see why they are not delivered with `faas runs get RUN`, or raise \
                 `callbacks.waiting_bytes` in the server's configuration",
            )
            .with_retry_after(60))
    }

    /// A run has ended, or was not accepted: what it reserved is free.
    pub(crate) fn release(&self, project: ProjectId, bytes: u64) {
        let mut all = self.bytes.lock();
        if let Some(held) = all.get_mut(&project) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                all.remove(&project);
            }
        }
    }

    /// Whether a body fits that is larger than what its run has reserved.
    pub(crate) fn has_room(&self, project: ProjectId, body: usize) -> bool {
        let held = self.bytes.lock().get(&project).copied().unwrap_or_default();
        held.saturating_sub(limits::CALLBACK_RESERVED).saturating_add(cost(body)) <= self.max
    }

    /// Counts a message that the end of a run has added, by the bytes of its body.
    pub(crate) fn add(&self, project: ProjectId, body: usize) {
        self.count(project, cost(body));
    }

    /// It is delivered or given up.
    pub(crate) fn remove(&self, project: ProjectId, body: usize) {
        self.release(project, cost(body));
    }

    fn count(&self, project: ProjectId, bytes: u64) {
        if bytes > 0 {
            *self.bytes.lock().entry(project).or_default() += bytes;
        }
    }
}

fn cost(body: usize) -> u64 {
    body as u64 + limits::RUN_COST
}

#[cfg(test)]
mod tests {
    use faas_types::FunctionId;

    use super::*;

    const EACH: u64 = limits::CALLBACK_RESERVED;

    #[test]
    fn a_full_outbox_names_the_limit_and_empties() {
        let [one, other] = [1, 2].map(ProjectId::from_u128);
        let depth = CallbackDepth { project: one, messages: 2, bytes: 900 };
        let outbox = Outbox::new(&[depth], &[], 2 * limits::RUN_COST + 900 + EACH);
        outbox.reserve(one, EACH).expect("room");
        let fault = outbox.reserve(one, EACH).expect_err("full");
        assert_eq!((fault.code, fault.retry_after), (Code::RateLimited, Some(60)));
        assert!(fault.hint.is_some_and(|hint| hint.contains("callbacks.waiting_bytes")));
        outbox.reserve(one, 0).expect("a run without a callback");
        outbox.reserve(other, EACH).expect("another project");
        outbox.add(one, 10);
        outbox.release(one, EACH);
        outbox.remove(one, 10);
        for body in [400, 500] {
            outbox.remove(one, body);
        }
        outbox.release(other, EACH);
        assert!(outbox.bytes.lock().is_empty());
    }

    #[test]
    fn what_runs_reserve_counts_before_they_end_also_after_a_restart() {
        let (project, function) = (ProjectId::from_u128(1), FunctionId::from_u128(1));
        let (waiting, leased, bytes, keyless, keyless_bytes, reserved) = (1, 1, 9, 0, 0, 2 * EACH);
        let depth = QueueDepth { project, function, waiting, leased, bytes, keyless, keyless_bytes, reserved };
        let outbox = Outbox::new(&[], &[depth], 3 * EACH);
        outbox.reserve(project, EACH).expect("room");
        outbox.reserve(project, EACH).expect_err("two runs wait that have one");
        assert!(outbox.has_room(project, 100));
        assert!(!outbox.has_room(project, 4_000), "a result that does not fit");
        Outbox::new(&[], &[], 1).reserve(project, EACH).expect("one always has room");
        Outbox::new(&[], &[], 0).reserve(project, EACH).expect_err("there are to be none");
    }
}
