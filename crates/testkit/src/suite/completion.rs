//! What follows the end of runs: callbacks and runs of destinations.

use std::sync::Arc;

use bytes::Bytes;
use faas_ports::{
    ByteBounds, Callbacks, FollowUps, LeaseMark, NewCallback, RunHistory, RunOutcome, RunQueue, Settlement,
    TakeCallbacks, TakenCallback,
};
use faas_types::{Callback, CallbackState, FunctionId, ProjectId, RunId, RunRecord, RunState, Timestamp};

use super::ok;
use crate::fixture::{at, everything, fresh, in_state, new_item, succeeded};

/// A store under test with its own project.
struct Completion {
    queue: Arc<dyn RunQueue>,
    callbacks: Arc<dyn Callbacks>,
    history: Arc<dyn RunHistory>,
    project: ProjectId,
    function: FunctionId,
    next: FunctionId,
}

/// Checks callbacks, and the follow-ups of runs that end. Needs a store without callbacks of others.
///
/// # Panics
/// When a promise is broken.
pub async fn completion(queue: Arc<dyn RunQueue>, callbacks: Arc<dyn Callbacks>, history: Arc<dyn RunHistory>) {
    let fresh = || Completion {
        queue: Arc::clone(&queue),
        callbacks: Arc::clone(&callbacks),
        history: Arc::clone(&history),
        project: fresh(),
        function: fresh(),
        next: fresh(),
    };
    fresh().an_end_brings_its_sequel_once().await;
    fresh().a_lost_lease_brings_none().await;
    fresh().a_withdrawn_run_has_one_too().await;
    fresh().callbacks_go_on_until_they_are_noted().await;
    fresh().hosts_share_what_is_taken().await;
}

// === impl Completion ===

impl Completion {
    async fn leased(&self) -> LeaseMark {
        let item = new_item(self.project, self.function);
        ok("enqueue", self.queue.enqueue(vec![item]).await);
        let wants = [everything(self.project, self.function)];
        let leases = ok("lease", self.queue.lease("worker", &wants, std::time::Duration::from_secs(1), at(0)).await);
        leases.first().map(faas_ports::Lease::mark).expect("what was enqueued is handed out")
    }

    fn callback(&self, host: &str) -> NewCallback {
        let url = format!("https://{host}/ä?x=1");
        NewCallback { url, host: host.to_owned(), body: Bytes::from_static(b"{\0}"), ended_at: at(5) }
    }

    fn follow_ups(&self, host: &str) -> (FollowUps, RunId) {
        let item = new_item(self.project, self.next);
        let run = item.record.id;
        (FollowUps { callback: Some(self.callback(host)), run: Some(Box::new(item)) }, run)
    }

    async fn ended(&self, run: RunId) -> RunRecord {
        ok("run", self.history.run(self.project, run).await).expect("a run in the history")
    }

    async fn end(&self, lease: LeaseMark, follow_ups: FollowUps) -> bool {
        let record = Box::new(succeeded(self.ended(lease.run).await));
        let settlement = Settlement { lease, outcome: RunOutcome::Finish { record, dead: None, follow_ups } };
        ok("settle", self.queue.settle(vec![settlement], ByteBounds::NONE).await).held[0]
    }

    async fn waiting(&self) -> u64 {
        let depths = ok("depths", self.queue.depths().await);
        depths.iter().find(|depth| depth.function == self.next).map_or(0, |depth| depth.waiting)
    }

    async fn take(&self, now: Timestamp) -> Vec<TakenCallback> {
        let take = TakeCallbacks {
            after: String::new(),
            busy: Vec::new(),
            per_host: 10,
            limit: 10,
            now,
            until: now.plus(std::time::Duration::from_secs(1)),
        };
        ok("take", self.callbacks.take_callbacks(take).await)
    }

    async fn note(&self, run: RunId, state: CallbackState, again: Option<Timestamp>) -> bool {
        let callback = Callback { state, attempts: 1, ..Callback::new("https://a".into()) };
        ok("note", self.callbacks.note_callback(self.project, run, callback, again).await)
    }

    async fn depth(&self) -> Option<(u64, u64)> {
        let depths = ok("depths", self.callbacks.callback_depths().await);
        let own = depths.into_iter().find(|depth| depth.project == self.project);
        own.map(|depth| (depth.messages, depth.bytes))
    }

    async fn an_end_brings_its_sequel_once(self) {
        let lease = self.leased().await;
        let (follow_ups, next) = self.follow_ups("a");
        assert!(self.end(lease, follow_ups.clone()).await);
        assert!(!self.end(lease, follow_ups).await, "a run ended twice");
        assert_eq!(self.waiting().await, 1, "a destination has not exactly one run");
        assert_eq!(self.ended(next).await.state(), RunState::Queued);
        let taken = self.take(at(5)).await;
        assert_eq!(taken.len(), 1, "a callback was lost or doubled");
        assert_eq!(taken[0].callback, self.callback("a"));
        assert_eq!((taken[0].project, taken[0].run, taken[0].attempts), (self.project, lease.run, 1));
        self.note(lease.run, CallbackState::Delivered, None).await;
    }

    async fn a_lost_lease_brings_none(self) {
        let lease = self.leased().await;
        let lost = LeaseMark { epoch: lease.epoch + 1, ..lease };
        assert!(!self.end(lost, self.follow_ups("a").0).await);
        assert_eq!(self.waiting().await, 0, "a settlement without its lease enqueued a run");
        assert!(self.take(at(1 << 40)).await.is_empty(), "a settlement without its lease made a callback");
        assert!(self.end(lease, FollowUps::default()).await);
    }

    async fn a_withdrawn_run_has_one_too(self) {
        let lease = self.leased().await;
        let record = in_state(self.ended(lease.run).await, RunState::Cancelled);
        let (follow_ups, _) = self.follow_ups("a");
        assert!(
            ok("withdraw", self.queue.withdraw(record.clone(), follow_ups.clone(), ByteBounds::NONE).await).is_some()
        );
        assert!(ok("withdraw again", self.queue.withdraw(record, follow_ups, ByteBounds::NONE).await).is_none());
        assert_eq!(self.waiting().await, 1);
        assert_eq!(self.take(at(5)).await.len(), 1);
        self.note(lease.run, CallbackState::Delivered, None).await;
    }

    async fn callbacks_go_on_until_they_are_noted(self) {
        let lease = self.leased().await;
        assert!(self.end(lease, FollowUps { callback: Some(self.callback("a")), run: None }).await);
        assert_eq!(ok("next", self.callbacks.next_callback().await), Some(at(5)));
        assert!(self.take(at(4)).await.is_empty(), "not due yet");
        assert_eq!(self.take(at(5)).await.len(), 1);
        assert!(self.take(at(6)).await.is_empty(), "a callback was taken twice at once");
        assert_eq!(self.take(at(5_000)).await[0].attempts, 2, "what nobody noted is taken again");
        assert!(!self.note(lease.run, CallbackState::Pending, Some(at(9_000))).await);
        assert_eq!(self.depth().await, Some((1, 3)));
        let shown = |run: RunRecord| {
            run.completion.and_then(|completion| completion.callback).expect("a callback in the record")
        };
        assert_eq!(shown(self.ended(lease.run).await).state, CallbackState::Pending);
        assert_eq!(ok("next", self.callbacks.next_callback().await), Some(at(9_000)));
        assert_eq!(self.take(at(9_000)).await[0].attempts, 3);
        assert!(self.note(lease.run, CallbackState::Abandoned, None).await);
        assert_eq!(self.depth().await, None);
        let run = self.ended(lease.run).await;
        assert_eq!((run.state(), shown(run).state), (RunState::Succeeded, CallbackState::Abandoned));
        assert!(self.take(at(1 << 40)).await.is_empty());
        assert!(!self.note(lease.run, CallbackState::Delivered, None).await, "it went twice");
        assert_eq!(shown(self.ended(lease.run).await).state, CallbackState::Abandoned, "what is gone was noted");
        assert_eq!(ok("next", self.callbacks.next_callback().await), None);
    }

    async fn hosts_share_what_is_taken(self) {
        let mut runs = Vec::new();
        for host in ["a", "a", "a", "b", "c"] {
            let lease = self.leased().await;
            assert!(self.end(lease, FollowUps { callback: Some(self.callback(host)), run: None }).await);
            runs.push(lease.run);
        }
        let hosts = async |after: &str, busy: &[(String, u32)], per_host, limit, now| {
            let busy = busy.to_vec();
            let take = TakeCallbacks { after: after.to_owned(), busy, per_host, limit, now, until: at(1_000) };
            let taken = ok("take", self.callbacks.take_callbacks(take).await);
            taken.into_iter().map(|taken| taken.callback.host).collect::<Vec<_>>()
        };
        assert_eq!(hosts("a", &[("b".into(), 2)], 2, 2, at(5)).await, ["c", "a"], "those behind come first");
        assert_eq!(hosts("", &[("a".into(), 1)], 2, 9, at(5)).await, ["a", "b"], "one host has only its share");
        assert_eq!(hosts("", &[], 9, 2, at(5)).await, ["a"]);
        for run in runs {
            self.note(run, CallbackState::Delivered, None).await;
        }
        assert!(self.take(at(1 << 40)).await.is_empty());
    }
}
