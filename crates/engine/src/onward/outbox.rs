//! How many callbacks are not delivered, so that more are refused before their runs are accepted.

use std::collections::HashMap;

use faas_ports::CallbackDepth;
use faas_types::{ByteSize, Code, Fault, ProjectId, limits};
use parking_lot::Mutex;

/// Bytes of callbacks that are not delivered, by project.
#[derive(Debug)]
pub(crate) struct Outbox {
    max: u64,
    bytes: Mutex<HashMap<ProjectId, u64>>,
}

// === impl Outbox ===

impl Outbox {
    pub(crate) fn new(depths: &[CallbackDepth], max: u64) -> Self {
        let bytes = |depth: &CallbackDepth| depth.bytes + depth.messages * limits::RUN_COST;
        Self { max, bytes: Mutex::new(depths.iter().map(|depth| (depth.project, bytes(depth))).collect()) }
    }

    /// Whether another run may have a callback.
    pub(crate) fn check(&self, project: ProjectId) -> Result<(), Fault> {
        let held = self.bytes.lock().get(&project).copied().unwrap_or_default();
        if held < self.max {
            return Ok(());
        }
        let most = ByteSize::from_bytes(self.max);
        Err(Fault::new(Code::RateLimited, format!("callbacks of this project that are not delivered take {most}"))
            .with_hint(
                "leave `X-Callback-Url` out, see why they are not delivered with `faas runs get RUN`, or raise \
                 `callbacks.waiting_bytes` in the server's configuration",
            )
            .with_retry_after(60))
    }

    /// The end of a run has brought one with a body of so many bytes.
    pub(crate) fn add(&self, project: ProjectId, body: usize) {
        *self.bytes.lock().entry(project).or_default() += body as u64 + limits::RUN_COST;
    }

    /// It is delivered or given up.
    pub(crate) fn remove(&self, project: ProjectId, body: usize) {
        let mut bytes = self.bytes.lock();
        if let Some(held) = bytes.get_mut(&project) {
            *held = held.saturating_sub(body as u64 + limits::RUN_COST);
            if *held == 0 {
                bytes.remove(&project);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_outbox_names_the_limit_and_empties() {
        let [one, other] = [1, 2].map(ProjectId::from_u128);
        let depth = CallbackDepth { project: one, messages: 2, bytes: 900 };
        let outbox = Outbox::new(&[depth], 2 * limits::RUN_COST + 1_000);
        outbox.check(one).expect("room");
        outbox.add(one, 0);
        let fault = outbox.check(one).expect_err("full");
        assert_eq!((fault.code, fault.retry_after), (Code::RateLimited, Some(60)));
        assert!(fault.hint.is_some_and(|hint| hint.contains("callbacks.waiting_bytes")));
        outbox.check(other).expect("another project");
        outbox.remove(one, 0);
        outbox.check(one).expect("room again");
        for body in [400, 500] {
            outbox.remove(one, body);
        }
        assert!(outbox.bytes.lock().is_empty());
    }
}
