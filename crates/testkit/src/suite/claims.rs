//! What every keeper of callers' names promises, alone and together with its queue.

use std::sync::Arc;

use bytes::Bytes;
use faas_ports::{Claim, ClaimRequest, Claimed, Claims, Enqueued, Holder, NewItem, RunQueue};
use faas_types::{Digest, FunctionId, ProjectId, RunId};

use super::ok;
use crate::fixture::{at, fresh, new_item};

/// One run for each name, whoever asks and how many at once.
pub async fn claims(claims: Arc<dyn Claims>, queue: Arc<dyn RunQueue>) {
    a_name_has_one_holder(&*claims).await;
    a_released_name_is_free(&*claims).await;
    a_name_expires(&*claims).await;
    a_queued_run_holds_its_name(&*claims, &*queue).await;
    of_many_at_once_one_wins(queue).await;
}

fn claim(key: &str, body: u8) -> Claim {
    Claim { key: key.into(), fingerprint: Digest::from_bytes([body; 32]), expires_at: at(1_000) }
}

fn request(project: ProjectId, function: FunctionId, claim: Claim, now: u64) -> ClaimRequest {
    ClaimRequest { project, function, claim, run: fresh(), now: at(now) }
}

async fn a_name_has_one_holder(claims: &dyn Claims) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let first = request(project, function, claim("k", 1), 0);
    assert_eq!(ok("claim", claims.claim(first.clone()).await), Claimed::Yours);
    let held = |same, holder| Claimed::Held { run: first.run, same, holder };
    let again = async |body| ok("claim", claims.claim(request(project, function, claim("k", body), 1)).await);
    assert_eq!(again(1).await, held(true, Holder::Calling));
    assert_eq!(again(2).await, held(false, Holder::Calling));
    let elsewhere = request(project, fresh(), claim("k", 1), 1);
    assert_eq!(ok("claim", claims.claim(elsewhere).await), Claimed::Yours, "functions share a name");
    let reply = Bytes::from_static(b"\x00answer");
    ok("answer by another", claims.answer(project, function, fresh(), "k", Bytes::new()).await);
    assert_eq!(again(1).await, held(true, Holder::Calling), "another run answered");
    ok("answer", claims.answer(project, function, first.run, "k", reply.clone()).await);
    assert_eq!(again(1).await, held(true, Holder::Answered(reply)));
}

async fn a_released_name_is_free(claims: &dyn Claims) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let first = request(project, function, claim("k", 1), 0);
    ok("claim", claims.claim(first.clone()).await);
    ok("release by another", claims.release(project, function, fresh(), "k").await);
    let second = request(project, function, claim("k", 2), 0);
    assert!(matches!(ok("claim", claims.claim(second.clone()).await), Claimed::Held { .. }));
    ok("release", claims.release(project, function, first.run, "k").await);
    assert_eq!(ok("claim", claims.claim(second).await), Claimed::Yours);
}

async fn a_name_expires(claims: &dyn Claims) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let first = request(project, function, claim("k", 1), 0);
    ok("claim", claims.claim(first.clone()).await);
    let late = request(project, function, claim("k", 1), 1_001);
    let outcome = ok("claim", claims.claim(late.clone()).await);
    assert!(matches!(outcome, Claimed::Held { .. }), "a call under way lost its name: {outcome:?}");
    ok("answer", claims.answer(project, function, first.run, "k", Bytes::new()).await);
    let early = request(project, function, claim("k", 1), 999);
    assert!(matches!(ok("claim", claims.claim(early).await), Claimed::Held { .. }));
    ok("expire", claims.expire_claims(at(1_000), 100).await);
    assert_eq!(ok("claim", claims.claim(late).await), Claimed::Yours);
}

async fn a_queued_run_holds_its_name(claims: &dyn Claims, queue: &dyn RunQueue) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let item = |body| NewItem { claim: Some(claim("k", body)), ..new_item(project, function) };
    let first = item(1);
    let run = first.record.id;
    let outcomes = ok("enqueue", queue.enqueue(vec![first, item(1), item(2)]).await);
    let known = |same| Enqueued::Known { run, same };
    assert_eq!(outcomes, [Enqueued::Accepted, known(true), known(false)]);
    let outcome = ok("claim", claims.claim(request(project, function, claim("k", 1), 0)).await);
    assert_eq!(outcome, Claimed::Held { run, same: true, holder: Holder::Accepted });
    let depths = ok("depths", queue.depths().await);
    let waiting = depths.iter().find(|depth| depth.function == function).map(|depth| depth.waiting);
    assert_eq!(waiting, Some(1), "a name let two runs in");
}

async fn of_many_at_once_one_wins(queue: Arc<dyn RunQueue>) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let tries = (0..100).map(|_| {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move {
            let item = NewItem { claim: Some(claim("k", 1)), ..new_item(project, function) };
            let run = item.record.id;
            match ok("enqueue", queue.enqueue(vec![item]).await)[..] {
                [Enqueued::Accepted] => run,
                [Enqueued::Known { run, same: true }] => run,
                ref other => panic!("{other:?}"),
            }
        })
    });
    let mut runs: Vec<RunId> = Vec::new();
    for one in futures_util::future::join_all(tries).await {
        runs.push(one.expect("the try ends well"));
    }
    runs.dedup();
    assert_eq!(runs.len(), 1, "one name made several runs");
}
