//! What every run queue promises.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_ports::{
    ByteBounds, Enqueued, FollowUps, Footprint, Lease, NewItem, PortError, QueueDepth, RunHistory, RunOutcome,
    RunQuery, RunQueue, Settlement, Want, Withdrawn,
};
use faas_types::{Digest, FunctionId, ProjectId, RunId, RunState, Timestamp};

use super::{ok, refused};
use crate::fixture::{at, finish, fresh, in_state, new_item};

const TTL: Duration = Duration::from_millis(100);

/// A queue with the history that shows its runs.
struct Bench<'a> {
    queue: &'a dyn RunQueue,
    history: &'a dyn RunHistory,
    project: ProjectId,
    function: FunctionId,
}

/// Leases, fences, order, and what the history shows meanwhile.
pub async fn queue(queue: Arc<dyn RunQueue>, history: Arc<dyn RunHistory>) {
    let bench = || Bench { queue: &*queue, history: &*history, project: fresh(), function: fresh() };
    bench().items_come_back_whole().await;
    bench().enqueuing_is_all_or_nothing().await;
    bench().items_wait_until_they_are_due().await;
    bench().higher_priority_goes_first().await;
    bench().a_lapsed_lease_is_fenced_out().await;
    bench().an_extended_lease_holds().await;
    bench().what_is_given_back_comes_again_and_does_not_count().await;
    bench().what_is_retried_comes_again_and_counts().await;
    bench().the_history_shows_a_run_from_its_first_commit_on().await;
    bench().pages_of_the_history_hold_both_kinds_of_runs().await;
    bench().a_withdrawn_run_is_over_for_everybody().await;
    bench().ordering_keys_go_one_at_a_time().await;
    bench().ordered_items_outlive_failures().await;
    bench().depths_count_by_owner().await;
    bench().wants_and_outlook_keep_functions_apart().await;
    racing_workers_share_without_overlap(queue).await;
}

fn give_back(lease: &Lease, not_before: Timestamp) -> Settlement {
    Settlement { lease: lease.mark(), outcome: RunOutcome::Return { not_before } }
}

fn retry(lease: &Lease, not_before: Timestamp) -> Settlement {
    let mut record = in_state(lease.record.clone(), RunState::Retried);
    record.message = Some("no".into());
    Settlement { lease: lease.mark(), outcome: RunOutcome::Retry { record: Box::new(record), not_before } }
}

fn runs(leases: &[Lease]) -> Vec<RunId> {
    leases.iter().map(|lease| lease.record.id).collect()
}

// === impl Bench ===

impl Bench<'_> {
    fn item(&self) -> NewItem {
        new_item(self.project, self.function)
    }

    async fn add(&self, items: &[NewItem]) {
        let outcomes = ok("enqueue", self.queue.enqueue(items.to_vec()).await);
        assert_eq!(outcomes, vec![Enqueued::Accepted; items.len()]);
    }

    async fn lease(&self, max: u32, now: Timestamp) -> Vec<Lease> {
        let want = Want { project: self.project, function: self.function, max };
        ok("lease", self.queue.lease("worker", &[want], TTL, now).await)
    }

    async fn settle(&self, settlement: Settlement) {
        assert_eq!(
            ok("settle", self.queue.settle(vec![settlement], ByteBounds::NONE).await).held,
            [true],
            "a held lease was refused"
        );
    }

    async fn finish_all(&self, leases: &[Lease]) {
        let ends = leases.iter().map(finish).collect();
        let held = ok("settle", self.queue.settle(ends, ByteBounds::NONE).await).held;
        assert_eq!(held, vec![true; leases.len()]);
    }

    async fn lost(&self, what: &str, lease: &Lease) {
        let before = self.state(lease.record.id).await;
        for settlement in [give_back(lease, at(0)), retry(lease, at(0)), finish(lease)] {
            let settled = ok("settle", self.queue.settle(vec![settlement], ByteBounds::NONE).await);
            assert_eq!(settled.held, [false], "{what} still settles");
        }
        let extended = ok("extend", self.queue.extend(&[lease.mark()], at(1_000_000)).await);
        assert_eq!(extended, [false], "{what} still extends");
        assert_eq!(self.state(lease.record.id).await, before, "{what} changed the history");
    }

    async fn state(&self, run: RunId) -> Option<RunState> {
        ok("run", self.history.run(self.project, run).await).map(|run| run.state())
    }

    async fn items_come_back_whole(self) {
        let every_byte: Vec<u8> = (0..=u8::MAX).collect();
        let footprint =
            Footprint { bytes: 1 << 40, keyless: true, blob: Some(Digest::from_bytes([9; 32])), reserved: 1 << 39 };
        let item = NewItem {
            priority: 255,
            ordering_key: Some("ü key".into()),
            input: every_byte.into(),
            footprint,
            ..self.item()
        };
        let bare = NewItem { input: Bytes::new(), ..self.item() };
        self.add(&[bare.clone(), item.clone()]).await;
        assert!(ok("enqueue nothing", self.queue.enqueue(Vec::new()).await).is_empty());
        assert!(self.lease(0, at(0)).await.is_empty(), "a lease of none hands out none");
        let leases = self.lease(10, at(0)).await;
        for (lease, item) in leases.iter().zip([&item, &bare]) {
            assert_eq!((&lease.record, &lease.input), (&item.record, &item.input), "not what was enqueued");
            assert_eq!(lease.ordering_key, item.ordering_key);
            assert_eq!((lease.deliveries, lease.expires_at), (1, at(0).plus(TTL)));
            assert_eq!(lease.footprint, item.footprint);
        }
        assert_eq!(leases.len(), 2);
        assert!(self.lease(10, at(0)).await.is_empty(), "an item was handed out twice");
        self.finish_all(&leases).await;
        assert!(self.lease(10, at(1 << 40)).await.is_empty(), "a finished item was handed out");
        self.lost("one who has finished", &leases[0]).await;
    }

    async fn enqueuing_is_all_or_nothing(self) {
        let [a, b, c] = [(); 3].map(|()| self.item());
        self.add(std::slice::from_ref(&a)).await;
        for (what, items) in [
            ("a run that waits", vec![b.clone(), a.clone()]),
            ("a run twice at once", vec![b.clone(), c.clone(), b.clone()]),
        ] {
            let error = refused(what, self.queue.enqueue(items).await);
            assert!(matches!(error, PortError::Exists { .. }), "{what}: {error}");
        }
        let leases = self.lease(10, at(0)).await;
        assert_eq!(runs(&leases), [a.record.id], "a refused call enqueued something");
        self.finish_all(&leases).await;
        let error = refused("a run that has ended", self.queue.enqueue(vec![a.clone()]).await);
        assert!(matches!(error, PortError::Exists { .. }), "{error}");
    }

    async fn items_wait_until_they_are_due(self) {
        let [late, soon] = [50, 20].map(|ms| NewItem { not_before: at(ms), ..self.item() });
        self.add(&[late.clone(), soon.clone()]).await;
        assert!(self.lease(10, at(19)).await.is_empty(), "an item was handed out before its time");
        let first = self.lease(10, at(20)).await;
        assert_eq!(runs(&first), [soon.record.id]);
        let second = self.lease(10, at(50)).await;
        assert_eq!(runs(&second), [late.record.id]);
        self.finish_all(&[first, second].concat()).await;
    }

    async fn higher_priority_goes_first(self) {
        let items = [1, 5, 1, 9, 5].map(|priority| NewItem { priority, ..self.item() });
        self.add(&items).await;
        let mut order = Vec::new();
        while let [only] = &self.lease(1, at(0)).await[..] {
            order.push(only.record.id);
            self.settle(finish(only)).await;
        }
        let wanted = [3, 1, 4, 0, 2].map(|n: usize| items[n].record.id);
        assert_eq!(order, wanted, "priority first, then the order of enqueuing");
    }

    async fn a_lapsed_lease_is_fenced_out(self) {
        let item = self.item();
        self.add(std::slice::from_ref(&item)).await;
        let first = self.lease(1, at(0)).await.remove(0);
        assert!(self.lease(1, at(99)).await.is_empty(), "a lease lapsed before its time");
        let second = self.lease(1, at(100)).await.remove(0);
        assert_eq!((second.record.id, second.deliveries), (item.record.id, 2));
        assert!(second.epoch > first.epoch, "the epoch did not rise: {} then {}", first.epoch, second.epoch);
        self.lost("an earlier holder", &first).await;
        let mut forged = second.mark();
        forged.project = fresh();
        assert_eq!(ok("extend", self.queue.extend(&[forged], at(0)).await), [false], "projects share a run's id");
        self.settle(finish(&second)).await;

        self.add(&[self.item()]).await;
        let lapsed = self.lease(1, at(0)).await.remove(0);
        // Nobody took it, so nothing is done twice.
        self.settle(finish(&lapsed)).await;
        assert!(self.lease(1, at(1_000)).await.is_empty());
    }

    async fn an_extended_lease_holds(self) {
        self.add(&[self.item()]).await;
        let held = self.lease(1, at(0)).await.remove(0);
        assert_eq!(ok("extend", self.queue.extend(&[held.mark()], at(500)).await), [true]);
        assert!(self.lease(1, at(499)).await.is_empty(), "an extended lease lapsed at its first time");
        let taken = self.lease(1, at(500)).await.remove(0);
        self.lost("one whose extension has lapsed", &held).await;
        let both = [held.mark(), taken.mark()];
        assert_eq!(ok("extend into the past", self.queue.extend(&both, at(0)).await), [false, true]);
        let again = self.lease(1, at(500)).await.remove(0);
        assert_eq!(again.deliveries, 3);
        self.settle(finish(&again)).await;
    }

    async fn what_is_given_back_comes_again_and_does_not_count(self) {
        let item = self.item();
        self.add(std::slice::from_ref(&item)).await;
        let held = self.lease(1, at(0)).await.remove(0);
        self.settle(give_back(&held, at(40))).await;
        self.lost("one who gave it back", &held).await;
        assert!(self.lease(1, at(39)).await.is_empty(), "what was given back came before its time");
        let again = self.lease(1, at(40)).await.remove(0);
        assert_eq!((again.record.clone(), again.deliveries), (item.record, 1));
        self.settle(finish(&again)).await;
    }

    async fn what_is_retried_comes_again_and_counts(self) {
        self.add(&[self.item()]).await;
        let held = self.lease(1, at(0)).await.remove(0);
        self.settle(retry(&held, at(40))).await;
        self.lost("one who gave up", &held).await;
        assert!(self.lease(1, at(39)).await.is_empty(), "a retry came before its time");
        let again = self.lease(1, at(40)).await.remove(0);
        assert_eq!((again.record.message.as_deref(), again.deliveries), (Some("no"), 2));
        self.settle(finish(&again)).await;
    }

    async fn the_history_shows_a_run_from_its_first_commit_on(self) {
        let item = self.item();
        let id = item.record.id;
        assert_eq!(self.state(id).await, None);
        self.add(std::slice::from_ref(&item)).await;
        assert_eq!(self.state(id).await, Some(RunState::Queued));
        let held = self.lease(1, at(0)).await.remove(0);
        assert_eq!(self.state(id).await, Some(RunState::Running));
        self.settle(give_back(&held, at(0))).await;
        assert_eq!(self.state(id).await, Some(RunState::Queued));
        let held = self.lease(1, at(0)).await.remove(0);
        self.settle(retry(&held, at(0))).await;
        assert_eq!(self.state(id).await, Some(RunState::Retried));
        let held = self.lease(1, at(0)).await.remove(0);
        assert_eq!(self.state(id).await, Some(RunState::Running));
        self.settle(give_back(&held, at(0))).await;
        assert_eq!(self.state(id).await, Some(RunState::Retried));
        let held = self.lease(1, at(0)).await.remove(0);
        self.settle(finish(&held)).await;
        let run = ok("run", self.history.run(self.project, id).await).expect("the run");
        assert_eq!((run.state(), run.http_status), (RunState::Succeeded, Some(200)));
    }

    async fn pages_of_the_history_hold_both_kinds_of_runs(self) {
        let items: Vec<NewItem> = (0..6)
            .map(|n| {
                let mut item = self.item();
                item.record = crate::fixture::queued_run(self.project, self.function, at(n));
                item.not_before = at(n);
                item
            })
            .collect();
        self.add(&items).await;
        let leases = self.lease(4, at(100)).await;
        self.finish_all(&leases[1..3]).await;
        let ids: Vec<RunId> = items.iter().map(|item| item.record.id).rev().collect();
        let all = RunQuery::newest(self.project, 4);
        let page = ok("runs", self.history.runs(&all).await);
        assert_eq!(page.runs.iter().map(|run| run.id).collect::<Vec<_>>(), ids[..4]);
        let rest = ok("runs", self.history.runs(&RunQuery { after: page.next, ..all.clone() }).await);
        assert_eq!(rest.runs.iter().map(|run| run.id).collect::<Vec<_>>(), ids[4..]);
        assert_eq!(rest.next, None);
        for (state, count) in [(RunState::Queued, 2), (RunState::Running, 2), (RunState::Succeeded, 2)] {
            let query = RunQuery { state: Some(state), function: Some(self.function), ..all.clone() };
            let page = ok("runs", self.history.runs(&query).await);
            assert!(page.runs.iter().all(|run| run.state() == state));
            assert_eq!(page.runs.len(), count, "{state:?}");
        }
        let elsewhere = RunQuery { function: Some(fresh()), ..all };
        assert!(ok("runs", self.history.runs(&elsewhere).await).runs.is_empty());
    }

    async fn a_withdrawn_run_is_over_for_everybody(self) {
        let [a, b] = [(); 2].map(|()| self.item());
        self.add(&[a.clone(), b.clone()]).await;
        let held = self.lease(1, at(0)).await.remove(0);
        for item in [&a, &b] {
            let record = in_state(item.record.clone(), RunState::Cancelled);
            let withdrawn =
                ok("withdraw", self.queue.withdraw(record.clone(), FollowUps::default(), ByteBounds::NONE).await);
            assert_eq!(withdrawn, Some(Withdrawn { footprint: item.footprint, freed: Vec::new() }));
            assert_eq!(
                ok("withdraw again", self.queue.withdraw(record, FollowUps::default(), ByteBounds::NONE).await),
                None
            );
            assert_eq!(self.state(item.record.id).await, Some(RunState::Cancelled));
        }
        self.lost("the holder of a withdrawn run", &held).await;
        assert!(self.lease(10, at(1 << 40)).await.is_empty());
    }

    async fn ordering_keys_go_one_at_a_time(self) {
        let keyed = |key: &str| NewItem { ordering_key: Some(key.into()), ..self.item() };
        let [a1, a2, a3, b1, b2] = ["a", "a", "a", "b", "b"].map(keyed);
        let free = self.item();
        // A higher priority does not overtake within a key.
        let a3 = NewItem { priority: 9, ..a3 };
        self.add(&[&a1, &a2, &b1, &a3, &b2, &free].map(Clone::clone)).await;
        let first = self.lease(10, at(0)).await;
        assert_eq!(runs(&first), [a1.record.id, b1.record.id, free.record.id], "one item of each key");
        assert!(self.lease(10, at(0)).await.is_empty(), "a key's second item went out beside its first");
        self.settle(finish(&first[0])).await;
        let second = self.lease(10, at(0)).await;
        assert_eq!(runs(&second), [a2.record.id], "the end of one key's item frees the next of that key only");
        self.finish_all(&[first[1].clone(), second[0].clone()]).await;
        let third = self.lease(10, at(0)).await;
        assert_eq!(runs(&third), [a3.record.id, b2.record.id]);
        self.finish_all(&[&third[..], &first[2..]].concat()).await;
    }

    async fn ordered_items_outlive_failures(self) {
        let keyed = || NewItem { ordering_key: Some("k".into()), ..self.item() };
        let items = [keyed(), keyed(), keyed()];
        self.add(&items).await;
        let first = self.lease(10, at(0)).await.remove(0);
        self.settle(retry(&first, at(50))).await;
        assert!(self.lease(10, at(10)).await.is_empty(), "a later item overtook one that is retried");
        let lapsing = self.lease(10, at(50)).await.remove(0);
        assert_eq!(lapsing.record.id, items[0].record.id);
        let retaken = self.lease(10, at(150)).await;
        assert_eq!(runs(&retaken), [items[0].record.id], "a lapsed lease let a later item go first");
        let record = in_state(items[0].record.clone(), RunState::Cancelled);
        assert!(ok("withdraw", self.queue.withdraw(record, FollowUps::default(), ByteBounds::NONE).await).is_some());
        let second = self.lease(10, at(150)).await;
        assert_eq!(runs(&second), [items[1].record.id], "a withdrawn item blocks those behind it");
        let late = keyed();
        self.add(std::slice::from_ref(&late)).await;
        self.finish_all(&second).await;
        let third = self.lease(10, at(150)).await;
        assert_eq!(runs(&third), [items[2].record.id]);
        self.finish_all(&third).await;
        let fourth = self.lease(10, at(150)).await;
        assert_eq!(runs(&fourth), [late.record.id]);
        self.finish_all(&fourth).await;
    }

    async fn depths_count_by_owner(self) {
        let elsewhere = new_item(self.project, fresh());
        let mut items: Vec<NewItem> = (0..5).map(|_| self.item()).collect();
        items[4].not_before = at(1_000_000);
        items[4].footprint = Footprint { bytes: 7, keyless: true, reserved: 9, ..Footprint::default() };
        items.push(elsewhere.clone());
        self.add(&items).await;
        let leases = self.lease(3, at(0)).await;
        let depth = async |function| {
            let all = ok("depths", self.queue.depths().await);
            all.into_iter().find(|depth| (depth.project, depth.function) == (self.project, function))
        };
        let project = self.project;
        let of = |function, waiting, leased, bytes| {
            Some(QueueDepth { project, function, waiting, leased, bytes, keyless: 0, keyless_bytes: 0, reserved: 0 })
        };
        let with_keyless = |depth: Option<QueueDepth>| {
            depth.map(|all| QueueDepth { keyless: 1, keyless_bytes: 7, reserved: 9, ..all })
        };
        assert_eq!(depth(self.function).await, with_keyless(of(self.function, 2, 3, 407)));
        let function = elsewhere.record.function().id;
        assert_eq!(depth(function).await, of(function, 1, 0, 100));
        self.finish_all(&leases).await;
        assert_eq!(depth(self.function).await, with_keyless(of(self.function, 2, 0, 107)));
    }

    async fn wants_and_outlook_keep_functions_apart(self) {
        let other: FunctionId = fresh();
        let mine = NewItem { not_before: at(10), ..self.item() };
        self.add(&[mine.clone(), new_item(self.project, other)]).await;
        let outlook = ok("outlook", self.queue.outlook(at(5)).await);
        assert!(outlook.ready.contains(&(self.project, other)));
        assert!(!outlook.ready.contains(&(self.project, self.function)), "not due yet");
        assert!(outlook.next.is_some_and(|next| next <= at(10)), "{:?}", outlook.next);
        assert!(ok("outlook", self.queue.outlook(at(10)).await).ready.contains(&(self.project, self.function)));
        let leases = self.lease(10, at(20)).await;
        assert_eq!(runs(&leases), [mine.record.id], "another function's item was handed out");
        self.finish_all(&leases).await;
        assert!(!ok("outlook", self.queue.outlook(at(30)).await).ready.contains(&(self.project, self.function)));
    }
}

async fn racing_workers_share_without_overlap(queue: Arc<dyn RunQueue>) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let items: Vec<NewItem> = (0..200).map(|_| new_item(project, function)).collect();
    let mut wanted: Vec<RunId> = items.iter().map(|item| item.record.id).collect();
    let halves = items.chunks(100).map(<[NewItem]>::to_vec).map(|half| queue.enqueue(half));
    for done in futures_util::future::join_all(halves).await {
        ok("enqueue", done);
    }
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                let mut done = Vec::new();
                loop {
                    let wants = [Want { project, function, max: 7 }];
                    let leases = ok("lease", queue.lease("worker", &wants, TTL, at(0)).await);
                    if leases.is_empty() {
                        return done;
                    }
                    let ends = leases.iter().map(finish).collect();
                    let held = ok("settle", queue.settle(ends, ByteBounds::NONE).await).held;
                    assert!(held.iter().all(|held| *held));
                    done.extend(runs(&leases));
                }
            })
        })
        .collect();
    let mut done = Vec::new();
    for worker in workers {
        done.extend(worker.await.expect("the worker ends well"));
    }
    done.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(done, wanted, "items were lost or handed out twice");
}
