//! What every run queue promises.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_ports::{Lease, NewItem, PortError, QueueDepth, RunQueue};
use faas_types::{FunctionId, ProjectId, RunId, Timestamp};

use super::{ok, refused};
use crate::fixture::{at, fresh, new_item};

const TTL: Duration = Duration::from_millis(100);

/// Leases, fences, order and dead letters. Needs a queue that nobody else uses; empties it first.
pub async fn queue(queue: Arc<dyn RunQueue>) {
    drain(&*queue).await;
    items_come_back_whole(&*queue).await;
    enqueuing_is_all_or_nothing(&*queue).await;
    items_wait_until_they_are_due(&*queue).await;
    higher_priority_goes_first(&*queue).await;
    a_lapsed_lease_is_fenced_out(&*queue).await;
    an_extended_lease_holds(&*queue).await;
    what_is_given_back_comes_again(&*queue).await;
    what_is_given_up_is_kept_and_counted(&*queue).await;
    ordering_keys_go_one_at_a_time(&*queue).await;
    ordered_items_outlive_failures(&*queue).await;
    depth_counts_by_owner(&*queue).await;
    racing_workers_share_without_overlap(queue).await;
}

async fn lease(queue: &dyn RunQueue, max: u32, now: Timestamp) -> Vec<Lease> {
    ok("lease", queue.lease("worker", max, TTL, now).await)
}

fn runs(leases: &[Lease]) -> Vec<RunId> {
    leases.iter().map(|lease| lease.item.item.run).collect()
}

async fn ack_all(queue: &dyn RunQueue, leases: &[Lease]) {
    for lease in leases {
        ok("ack", queue.ack(lease).await);
    }
}

async fn drain(queue: &dyn RunQueue) {
    loop {
        let leases = lease(queue, 100, at(1 << 40)).await;
        if leases.is_empty() {
            return;
        }
        ack_all(queue, &leases).await;
    }
}

async fn lost(what: &str, queue: &dyn RunQueue, lease: &Lease) {
    for (call, result) in [
        ("extend", queue.extend(lease, at(1_000_000)).await),
        ("nak", queue.nak(lease, at(0)).await),
        ("dead_letter", queue.dead_letter(lease, "x").await),
        ("ack", queue.ack(lease).await),
    ] {
        let error = refused(call, result);
        assert!(matches!(error, PortError::LeaseLost), "{call} by {what}: {error}");
    }
}

async fn items_come_back_whole(queue: &dyn RunQueue) {
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let item = NewItem {
        priority: 255,
        ordering_key: Some("ü key".into()),
        payload: every_byte.into(),
        ..new_item(fresh(), fresh())
    };
    let bare = NewItem { payload: Bytes::new(), ..new_item(fresh(), fresh()) };
    ok("enqueue", queue.enqueue(vec![bare.clone(), item.clone()]).await);
    ok("enqueue nothing", queue.enqueue(Vec::new()).await);
    assert!(lease(queue, 0, at(0)).await.is_empty(), "a lease of none hands out none");
    let leases = lease(queue, 10, at(0)).await;
    let items: Vec<NewItem> = leases.iter().map(|lease| lease.item.item.clone()).collect();
    assert_eq!(items, [item, bare], "items differ from what was enqueued");
    for lease in &leases {
        assert_eq!((lease.item.deliveries, lease.expires_at), (1, at(0).plus(TTL)));
    }
    assert!(lease(queue, 10, at(0)).await.is_empty(), "an item was handed out twice");
    ack_all(queue, &leases).await;
    assert!(lease(queue, 10, at(1 << 40)).await.is_empty(), "a finished item was handed out");
    lost("one who has finished", queue, &leases[0]).await;
}

async fn enqueuing_is_all_or_nothing(queue: &dyn RunQueue) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let [a, b, c] = [(); 3].map(|()| new_item(project, function));
    ok("enqueue", queue.enqueue(vec![a.clone()]).await);
    for (what, items) in [
        ("a run that waits", vec![b.clone(), a.clone()]),
        ("a run twice at once", vec![b.clone(), c.clone(), b.clone()]),
    ] {
        let error = refused(what, queue.enqueue(items).await);
        assert!(matches!(error, PortError::Exists { .. }), "{what}: {error}");
    }
    let leases = lease(queue, 10, at(0)).await;
    assert_eq!(runs(&leases), [a.run], "a refused call enqueued something");
    let error = refused("a run that is leased", queue.enqueue(vec![a.clone()]).await);
    assert!(matches!(error, PortError::Exists { .. }), "{error}");
    ack_all(queue, &leases).await;
    let elsewhere = NewItem { project: fresh(), ..a.clone() };
    ok("enqueue the same run after its end and elsewhere", queue.enqueue(vec![a, elsewhere]).await);
    let leases_again = lease(queue, 10, at(0)).await;
    assert_eq!(leases_again.len(), 2, "projects share a run's id");
    lost("a holder from before the run was enqueued again", queue, &leases[0]).await;
    ack_all(queue, &leases_again).await;
}

async fn items_wait_until_they_are_due(queue: &dyn RunQueue) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let [late, soon] = [50, 20].map(|ms| NewItem { not_before: at(ms), ..new_item(project, function) });
    ok("enqueue", queue.enqueue(vec![late.clone(), soon.clone()]).await);
    assert!(lease(queue, 10, at(19)).await.is_empty(), "an item was handed out before its time");
    let first = lease(queue, 10, at(20)).await;
    assert_eq!(runs(&first), [soon.run]);
    let second = lease(queue, 10, at(50)).await;
    assert_eq!(runs(&second), [late.run]);
    ack_all(queue, &first).await;
    ack_all(queue, &second).await;
}

async fn higher_priority_goes_first(queue: &dyn RunQueue) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let items = [1, 5, 1, 9, 5].map(|priority| NewItem { priority, ..new_item(project, function) });
    ok("enqueue", queue.enqueue(items.to_vec()).await);
    let mut order = Vec::new();
    while let [only] = &lease(queue, 1, at(0)).await[..] {
        order.push(only.item.item.run);
        ok("ack", queue.ack(only).await);
    }
    let wanted = [3, 1, 4, 0, 2].map(|n: usize| items[n].run);
    assert_eq!(order, wanted, "priority first, then the order of enqueuing");
}

async fn a_lapsed_lease_is_fenced_out(queue: &dyn RunQueue) {
    let item = new_item(fresh(), fresh());
    ok("enqueue", queue.enqueue(vec![item.clone()]).await);
    let first = lease(queue, 1, at(0)).await.remove(0);
    assert!(lease(queue, 1, at(99)).await.is_empty(), "a lease lapsed before its time");
    let second = lease(queue, 1, at(100)).await.remove(0);
    assert_eq!((second.item.item.run, second.item.deliveries), (item.run, 2));
    assert!(second.epoch > first.epoch, "the epoch did not rise: {} then {}", first.epoch, second.epoch);
    lost("an earlier holder", queue, &first).await;
    let elsewhere = NewItem { project: fresh(), ..item.clone() };
    let mut forged = second.clone();
    forged.item.item = elsewhere;
    lost("a holder in another project", queue, &forged).await;
    ok("ack by the present holder", queue.ack(&second).await);

    ok("enqueue", queue.enqueue(vec![new_item(fresh(), fresh())]).await);
    let lapsed = lease(queue, 1, at(0)).await.remove(0);
    ok("a lapsed lease that nobody took still finishes", queue.ack(&lapsed).await);
    assert!(lease(queue, 1, at(1000)).await.is_empty());
}

async fn an_extended_lease_holds(queue: &dyn RunQueue) {
    ok("enqueue", queue.enqueue(vec![new_item(fresh(), fresh())]).await);
    let held = lease(queue, 1, at(0)).await.remove(0);
    ok("extend", queue.extend(&held, at(500)).await);
    assert!(lease(queue, 1, at(499)).await.is_empty(), "an extended lease lapsed at its first time");
    let taken = lease(queue, 1, at(500)).await.remove(0);
    lost("one whose extension has lapsed", queue, &held).await;
    ok("extend into the past", queue.extend(&taken, at(0)).await);
    let again = lease(queue, 1, at(500)).await.remove(0);
    assert_eq!(again.item.deliveries, 3);
    ok("ack", queue.ack(&again).await);
}

async fn what_is_given_back_comes_again(queue: &dyn RunQueue) {
    let item = new_item(fresh(), fresh());
    ok("enqueue", queue.enqueue(vec![item.clone()]).await);
    let held = lease(queue, 1, at(0)).await.remove(0);
    ok("nak", queue.nak(&held, at(40)).await);
    lost("one who gave it back", queue, &held).await;
    assert!(lease(queue, 1, at(39)).await.is_empty(), "what was given back came before its time");
    let again = lease(queue, 1, at(40)).await.remove(0);
    assert_eq!((again.item.item.run, again.item.deliveries), (item.run, 2));
    ok("ack", queue.ack(&again).await);
}

async fn what_is_given_up_is_kept_and_counted(queue: &dyn RunQueue) {
    let item = new_item(fresh(), fresh());
    ok("enqueue", queue.enqueue(vec![item.clone()]).await);
    let held = lease(queue, 1, at(0)).await.remove(0);
    ok("dead_letter", queue.dead_letter(&held, "no attempt is left").await);
    lost("one who gave it up", queue, &held).await;
    assert!(lease(queue, 1, at(1 << 40)).await.is_empty(), "a dead item was handed out");
    let depth = ok("depth", queue.depth(item.project, None).await);
    assert_eq!(depth, QueueDepth { waiting: 0, leased: 0, dead: 1 });
    let error = refused("a run that was given up", queue.enqueue(vec![item]).await);
    assert!(matches!(error, PortError::Exists { .. }), "{error}");
}

async fn ordering_keys_go_one_at_a_time(queue: &dyn RunQueue) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let keyed = |key: &str| NewItem { ordering_key: Some(key.into()), ..new_item(project, function) };
    let [a1, a2, a3, b1, b2] = ["a", "a", "a", "b", "b"].map(keyed);
    let free = new_item(project, function);
    let elsewhere = NewItem { ordering_key: Some("a".into()), ..new_item(project, fresh()) };
    // A higher priority does not overtake within a key.
    let a3 = NewItem { priority: 9, ..a3 };
    let all = [&a1, &a2, &b1, &a3, &b2, &free, &elsewhere].map(Clone::clone);
    ok("enqueue", queue.enqueue(all.to_vec()).await);
    let first = lease(queue, 10, at(0)).await;
    assert_eq!(runs(&first), [a1.run, b1.run, free.run, elsewhere.run], "one item of each key and function");
    assert!(lease(queue, 10, at(0)).await.is_empty(), "a key's second item went out beside its first");
    ok("ack of a1", queue.ack(&first[0]).await);
    let second = lease(queue, 10, at(0)).await;
    assert_eq!(runs(&second), [a2.run], "the end of one key's item frees the next of that key only");
    ok("ack of b1", queue.ack(&first[1]).await);
    ok("ack of a2", queue.ack(&second[0]).await);
    let third = lease(queue, 10, at(0)).await;
    assert_eq!(runs(&third), [a3.run, b2.run]);
    ack_all(queue, &third).await;
    ack_all(queue, &first[2..]).await;
}

async fn ordered_items_outlive_failures(queue: &dyn RunQueue) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let keyed = || NewItem { ordering_key: Some("k".into()), ..new_item(project, function) };
    let items = [keyed(), keyed(), keyed()];
    ok("enqueue", queue.enqueue(items.to_vec()).await);
    let first = lease(queue, 10, at(0)).await.remove(0);
    ok("nak", queue.nak(&first, at(50)).await);
    assert!(lease(queue, 10, at(10)).await.is_empty(), "a later item overtook one that was given back");
    let lapsing = lease(queue, 10, at(50)).await.remove(0);
    assert_eq!(lapsing.item.item.run, items[0].run);
    let retaken = lease(queue, 10, at(150)).await;
    assert_eq!(runs(&retaken), [items[0].run], "a lapsed lease let a later item go first");
    ok("dead_letter", queue.dead_letter(&retaken[0], "x").await);
    let second = lease(queue, 10, at(150)).await;
    assert_eq!(runs(&second), [items[1].run], "a dead item blocks those behind it");
    ack_all(queue, &second).await;
    let late = keyed();
    ok("enqueue behind the last", queue.enqueue(vec![late.clone()]).await);
    let third = lease(queue, 10, at(150)).await;
    assert_eq!(runs(&third), [items[2].run]);
    ack_all(queue, &third).await;
    let fourth = lease(queue, 10, at(150)).await;
    assert_eq!(runs(&fourth), [late.run]);
    ack_all(queue, &fourth).await;
}

async fn depth_counts_by_owner(queue: &dyn RunQueue) {
    let (mine, other): (ProjectId, ProjectId) = (fresh(), fresh());
    let functions: [FunctionId; 2] = [fresh(), fresh()];
    let mut items: Vec<NewItem> = (0..6).map(|n| new_item(mine, functions[n % 2])).collect();
    items[5].not_before = at(1_000_000);
    items.push(new_item(other, functions[0]));
    ok("enqueue", queue.enqueue(items).await);
    let leases = lease(queue, 3, at(0)).await;
    ok("dead_letter", queue.dead_letter(&leases[2], "x").await);
    let depth = async |project, function| ok("depth", queue.depth(project, function).await);
    assert_eq!(depth(mine, None).await, QueueDepth { waiting: 3, leased: 2, dead: 1 });
    assert_eq!(depth(mine, Some(functions[0])).await, QueueDepth { waiting: 1, leased: 1, dead: 1 });
    assert_eq!(depth(mine, Some(functions[1])).await, QueueDepth { waiting: 2, leased: 1, dead: 0 });
    assert_eq!(depth(other, None).await, QueueDepth { waiting: 1, leased: 0, dead: 0 });
    assert_eq!(depth(other, Some(functions[1])).await, QueueDepth::default());
    drain(queue).await;
}

async fn racing_workers_share_without_overlap(queue: Arc<dyn RunQueue>) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let items: Vec<NewItem> = (0..200).map(|_| new_item(project, function)).collect();
    let mut wanted: Vec<RunId> = items.iter().map(|item| item.run).collect();
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
                    let leases = lease(&*queue, 7, at(0)).await;
                    if leases.is_empty() {
                        return done;
                    }
                    ack_all(&*queue, &leases).await;
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
    assert_eq!(ok("depth", queue.depth(project, None).await), QueueDepth::default());
}
