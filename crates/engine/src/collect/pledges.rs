//! What has to stay although nothing needs it yet, when a collection does not wait for the grace: files of deployments that
//! are being uploaded or made, and large inputs whose runs are being stored.

use std::collections::HashMap;
use std::time::Duration;

use faas_types::Timestamp;
use parking_lot::Mutex;

/// A deployment that was planned and not heard of for this long has been given up.
const IDLE: Duration = Duration::from_secs(3_600);
/// An input is in its run by then, or was refused: longer than a commit may take.
const INPUT: Duration = Duration::from_secs(60);
/// Deployments that are told apart; more share one pledge.
const OPEN_MAX: usize = 10_000;
/// The name of uploads that no plan came before.
const UNPLANNED: &str = "";

/// Who relies on files that nothing needs yet.
#[derive(Debug)]
pub(crate) struct Pledges {
    began: Timestamp,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<String, Pledge>,
    last_input: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Pledge {
    first: Timestamp,
    last: Timestamp,
}

// === impl Pledges ===

impl Pledges {
    pub(crate) fn new(began: Timestamp) -> Self {
        Self { began, state: Mutex::default() }
    }

    /// Somebody has begun to deploy something, and relies on files from now on.
    pub(crate) fn open(&self, subject: &str, now: Timestamp) {
        let open = &mut self.state.lock().open;
        if open.len() >= OPEN_MAX {
            open.retain(|_, pledge| pledge.is_live(now));
        }
        let subject = if open.len() >= OPEN_MAX && !open.contains_key(subject) { UNPLANNED } else { subject };
        let pledge = open.entry(subject.to_owned()).or_insert(Pledge { first: now, last: now });
        if !pledge.is_live(now) {
            pledge.first = now;
        }
        pledge.last = now;
    }

    /// A file came. A plan, where there was one, stands for it already.
    pub(crate) fn uploaded(&self, now: Timestamp) {
        let is_planned = self.state.lock().open.values().any(|pledge| pledge.is_live(now));
        if !is_planned {
            self.open(UNPLANNED, now);
        }
    }

    /// The input of a run goes to the files before the run is stored.
    pub(crate) fn input(&self, now: Timestamp) {
        self.state.lock().last_input = Some(now);
    }

    /// What was deployed is needed by its record now.
    pub(crate) fn close(&self, subject: &str) {
        let open = &mut self.state.lock().open;
        open.remove(subject);
        open.remove(UNPLANNED);
    }

    /// Nothing that was renewed since then may go.
    pub(crate) fn since(&self, now: Timestamp) -> Timestamp {
        let state = self.state.lock();
        let deployed = state.open.values().filter(|pledge| pledge.is_live(now)).map(|pledge| pledge.first);
        let input = state.last_input.filter(|last| now.since(*last) < INPUT).map(|last| earlier(last, INPUT));
        deployed.chain(input).min().unwrap_or(now).min(now)
    }

    /// Whether somebody who began before this server started may rely on a file that was renewed then.
    pub(crate) fn spares(&self, renewed_at: Timestamp, now: Timestamp) -> bool {
        renewed_at < self.began && self.began.since(renewed_at) < IDLE && now.since(self.began) < IDLE
    }
}

fn earlier(time: Timestamp, span: Duration) -> Timestamp {
    Timestamp::from_millis(time.as_millis().saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}

// === impl Pledge ===

impl Pledge {
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
        let pledges = Pledges::new(at(0));
        assert_eq!(pledges.since(at(10)), at(10));
        pledges.open("fn/a", at(10));
        pledges.open("fn/b", at(20));
        pledges.open("fn/a", at(30));
        assert_eq!(pledges.since(at(40)), at(10));
        pledges.close("fn/a");
        assert_eq!(pledges.since(at(40)), at(20));
        assert_eq!(pledges.since(at(20 + 3_600)), at(20 + 3_600), "given up after an hour");
    }

    #[test]
    fn uploads_without_a_plan_and_inputs_hold_back_too() {
        let pledges = Pledges::new(at(0));
        pledges.uploaded(at(10));
        pledges.uploaded(at(20));
        assert_eq!(pledges.since(at(30)), at(10));
        pledges.close("fn/any");
        pledges.input(at(100));
        assert_eq!((pledges.since(at(110)), pledges.since(at(160))), (at(40), at(160)));
    }

    #[test]
    fn what_came_shortly_before_a_restart_is_spared_for_a_while() {
        let pledges = Pledges::new(at(10_000));
        assert!(pledges.spares(at(9_000), at(10_010)));
        assert!(!pledges.spares(at(6_000), at(10_010)), "long before");
        assert!(!pledges.spares(at(10_005), at(10_010)), "known to this server");
        assert!(!pledges.spares(at(9_000), at(13_700)), "the server is up for an hour");
    }
}
