//! Files that garbage collection without a grace must leave alone although nothing refers to them yet: files of deployments
//! that are being uploaded or made, and large inputs whose runs are being stored.

use std::collections::HashMap;
use std::time::Duration;

use faas_types::Timestamp;
use parking_lot::Mutex;

/// A deployment without any request for this long was given up.
const IDLE: Duration = Duration::from_secs(3_600);
/// An input is part of its run by then, or was refused: longer than a commit may take.
const INPUT: Duration = Duration::from_secs(60);
/// Deployments that have their own lease; more share one.
const OPEN_MAX: usize = 10_000;
/// The subject of uploads without a plan.
const UNPLANNED: &str = "";

/// Leases on files that nothing refers to yet.
#[derive(Debug)]
pub struct UploadLeases {
    began: Timestamp,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<String, Lease>,
    last_input: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    first: Timestamp,
    last: Timestamp,
}

// === impl UploadLeases ===

impl UploadLeases {
    /// No leases; the server started now.
    #[must_use]
    pub fn new(began: Timestamp) -> Self {
        Self { began, state: Mutex::default() }
    }

    /// A deployment of this subject begins, or goes on, and relies on files from now on.
    pub fn open(&self, subject: &str, now: Timestamp) {
        let open = &mut self.state.lock().open;
        if open.len() >= OPEN_MAX {
            open.retain(|_, lease| lease.is_live(now));
        }
        let subject = if open.len() >= OPEN_MAX && !open.contains_key(subject) { UNPLANNED } else { subject };
        let lease = open.entry(subject.to_owned()).or_insert(Lease { first: now, last: now });
        if !lease.is_live(now) {
            lease.first = now;
        }
        lease.last = now;
    }

    /// A file was uploaded. Where a plan came before, its lease covers the file already.
    pub fn uploaded(&self, now: Timestamp) {
        let is_planned = self.state.lock().open.values().any(|lease| lease.is_live(now));
        if !is_planned {
            self.open(UNPLANNED, now);
        }
    }

    /// The input of a run is stored among the files, before the run is.
    pub fn input(&self, now: Timestamp) {
        self.state.lock().last_input = Some(now);
    }

    /// The deployment's record refers to its files now.
    pub fn close(&self, subject: &str) {
        let open = &mut self.state.lock().open;
        open.remove(subject);
        open.remove(UNPLANNED);
    }

    /// Files that were renewed since then must stay.
    #[must_use]
    pub fn since(&self, now: Timestamp) -> Timestamp {
        let state = self.state.lock();
        let deployed = state.open.values().filter(|lease| lease.is_live(now)).map(|lease| lease.first);
        let input = state.last_input.filter(|last| now.since(*last) < INPUT).map(|last| earlier(last, INPUT));
        deployed.chain(input).min().unwrap_or(now).min(now)
    }

    /// Whether a deployment that began before this server started may rely on a file that was renewed then.
    #[must_use]
    pub fn spares(&self, renewed_at: Timestamp, now: Timestamp) -> bool {
        renewed_at < self.began && self.began.since(renewed_at) < IDLE && now.since(self.began) < IDLE
    }
}

fn earlier(time: Timestamp, span: Duration) -> Timestamp {
    Timestamp::from_millis(time.as_millis().saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}

// === impl Lease ===

impl Lease {
    fn is_live(&self, now: Timestamp) -> bool {
        now.since(self.last) < IDLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + seconds * 1_000)
    }

    #[test]
    fn what_is_being_deployed_holds_back_to_its_beginning() {
        let leases = UploadLeases::new(at(0));
        assert_eq!(leases.since(at(10)), at(10));
        leases.open("fn/a", at(10));
        leases.open("fn/b", at(20));
        leases.open("fn/a", at(30));
        assert_eq!(leases.since(at(40)), at(10));
        leases.close("fn/a");
        assert_eq!(leases.since(at(40)), at(20));
        assert_eq!(leases.since(at(20 + 3_600)), at(20 + 3_600), "given up after an hour");
    }

    #[test]
    fn uploads_without_a_plan_and_inputs_hold_back_too() {
        let leases = UploadLeases::new(at(0));
        leases.uploaded(at(10));
        leases.uploaded(at(20));
        assert_eq!(leases.since(at(30)), at(10));
        leases.close("fn/any");
        leases.input(at(100));
        assert_eq!((leases.since(at(110)), leases.since(at(160))), (at(40), at(160)));
    }

    #[test]
    fn what_came_shortly_before_a_restart_is_spared_for_a_while() {
        let leases = UploadLeases::new(at(10_000));
        assert!(leases.spares(at(9_000), at(10_010)));
        assert!(!leases.spares(at(6_000), at(10_010)), "long before");
        assert!(!leases.spares(at(10_005), at(10_010)), "known to this server");
        assert!(!leases.spares(at(9_000), at(13_700)), "the server is up for an hour");
    }
}
