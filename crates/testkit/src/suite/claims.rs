//! What every keeper of callers' names promises, alone and together with its queue.

use std::sync::Arc;

use bytes::Bytes;
use faas_ports::{
    AnswerBounds, ByteBounds, Claim, ClaimQuota, ClaimRequest, Claimed, Claims, Enqueued, Holder, NameBounds, NewItem,
    RunQueue,
};
use faas_types::{Digest, FunctionId, ProjectId, RunId};

use super::ok;
use crate::fixture::{at, fresh, fresh_at, new_item};

/// One run for each key, however many callers ask at once.
pub async fn claims(claims: Arc<dyn Claims>, queue: Arc<dyn RunQueue>) {
    a_name_has_one_holder(&*claims).await;
    a_released_name_is_free(&*claims).await;
    a_name_expires(&*claims).await;
    a_queued_run_holds_its_name(&*claims, &*queue).await;
    a_quota_bounds_the_names(&*claims, &*queue).await;
    both_parts_together_stay_within_the_whole(&*claims).await;
    the_oldest_causes_make_room(&*claims, &*queue).await;
    the_oldest_answers_make_room(&*claims).await;
    answers_without_a_key_make_room_first(&*claims).await;
    of_many_at_once_one_wins(queue).await;
}

const WIDE: NameBounds = NameBounds { function: 99, project: 99 };

fn claim(key: &str, body: u8) -> Claim {
    Claim { key: key.into(), fingerprint: Digest::from_bytes([body; 32]), expires_at: at(1_000), quota: None }
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
    ok("answer by another", claims.answer(project, function, fresh(), "k", Bytes::new(), AnswerBounds::NONE).await);
    assert_eq!(again(1).await, held(true, Holder::Calling), "another run answered");
    ok("answer", claims.answer(project, function, first.run, "k", reply.clone(), AnswerBounds::NONE).await);
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
    ok("answer", claims.answer(project, function, first.run, "k", Bytes::new(), AnswerBounds::NONE).await);
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

async fn a_quota_bounds_the_names(claims: &dyn Claims, queue: &dyn RunQueue) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let quota = |keyless, function, project| {
        let most = NameBounds { function, project };
        Some(ClaimQuota::Caller { all: if keyless { WIDE } else { most }, keyless: keyless.then_some(most) })
    };
    let ask = async |function, key: &str, quota| {
        let claim = Claim { quota, ..claim(key, 1) };
        ok("claim", claims.claim(request(project, function, claim, 0)).await)
    };
    assert_eq!(ask(function, "a", quota(true, 2, 9)).await, Claimed::Yours);
    assert_eq!(ask(function, "b", quota(true, 2, 9)).await, Claimed::Yours);
    assert_eq!(ask(function, "c", quota(true, 2, 9)).await, Claimed::TooMany);
    assert!(matches!(ask(function, "a", quota(true, 2, 9)).await, Claimed::Held { .. }), "a held name was refused");
    assert_eq!(ask(fresh(), "c", quota(true, 2, 2)).await, Claimed::TooMany, "the project has two");
    assert_eq!(ask(function, "c", quota(false, 3, 9)).await, Claimed::Yours, "names with a key are counted apart");
    assert_eq!(ask(function, "d", quota(false, 3, 9)).await, Claimed::TooMany, "all are counted for those with a key");
    assert_eq!(ask(function, "d", None).await, Claimed::Yours, "no quota, no bound");

    let named = |key, quota| NewItem { claim: Some(Claim { quota, ..claim(key, 1) }), ..new_item(project, function) };
    let items = vec![named("e", quota(true, 2, 9)), named("e", quota(true, 3, 9)), named("f", quota(true, 3, 9))];
    let outcomes = ok("enqueue", queue.enqueue(items).await);
    assert_eq!(outcomes, [Enqueued::TooManyClaims, Enqueued::Accepted, Enqueued::TooManyClaims]);

    let first = request(project, function, Claim { quota: None, ..claim("a", 1) }, 0);
    let Claimed::Held { run, .. } = ok("claim", claims.claim(first).await) else { panic!("the name is free") };
    ok("release", claims.release(project, function, run, "a").await);
    assert_eq!(ask(function, "f", quota(true, 3, 9)).await, Claimed::Yours, "a name that went is still counted");
    ok("expire", claims.expire_claims(at(2_000), 1_000).await);
    assert_eq!(ask(function, "g", quota(true, 3, 9)).await, Claimed::Yours, "expired names are still counted");
}

async fn both_parts_together_stay_within_the_whole(claims: &dyn Claims) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let all = NameBounds { function: 4, project: 4 };
    let part = NameBounds { function: 2, project: 2 };
    let ask = async |function, key: &str, keyless| {
        let claim = Claim { quota: Some(ClaimQuota::Caller { all, keyless }), ..claim(key, 1) };
        ok("claim", claims.claim(request(project, function, claim, 0)).await)
    };
    assert_eq!(ask(function, "a", Some(part)).await, Claimed::Yours);
    for key in ["b", "c", "d"] {
        assert_eq!(ask(function, key, None).await, Claimed::Yours, "{key}");
    }
    for (key, keyless) in [("e", None), ("f", Some(part))] {
        assert_eq!(ask(function, key, keyless).await, Claimed::TooMany, "{key} of the function");
        assert_eq!(ask(fresh(), key, keyless).await, Claimed::TooMany, "{key} of the project");
    }
}

async fn the_oldest_causes_make_room(claims: &dyn Claims, queue: &dyn RunQueue) {
    let (project, function, other): (ProjectId, FunctionId, FunctionId) = (fresh(), fresh(), fresh());
    let most = NameBounds { function: 3, project: 4 };
    let cause = |key: &str, at_ms| expiring(key, at_ms, Some(ClaimQuota::Cause(most)));
    let enqueue = async |function, key: &str, at_ms| {
        // The older a cause is, the later it expires: what a sender may repeat for a month is not younger for that.
        let mut item = NewItem { claim: Some(cause(key, 2_000 - at_ms)), ..new_item(project, function) };
        item.record.id = fresh_at(at(at_ms));
        ok("enqueue", queue.enqueue(vec![item]).await)
    };
    let waits = cause("waits", 500);
    assert_eq!(ok("claim", claims.claim(request(project, function, waits, 0)).await), Claimed::Yours);
    for (key, at_ms) in [("a", 601), ("b", 602), ("c", 603)] {
        assert_eq!(enqueue(function, key, at_ms).await, [Enqueued::Accepted], "{key}");
    }
    let is_known = async |function, key: &str| {
        let outcomes = ok(
            "enqueue",
            queue.enqueue(vec![NewItem { claim: Some(claim(key, 1)), ..new_item(project, function) }]).await,
        );
        matches!(outcomes[..], [Enqueued::Known { .. }])
    };
    assert!(!is_known(function, "a").await, "the oldest cause of the function stayed");
    assert!(is_known(function, "waits").await, "a cause whose sender waits was forgotten");
    assert!(is_known(function, "b").await && is_known(function, "c").await);
    assert_eq!(enqueue(other, "d", 604).await, [Enqueued::Accepted]);
    assert_eq!(enqueue(other, "e", 605).await, [Enqueued::Accepted], "the project is full");
    assert!(is_known(other, "d").await && is_known(other, "e").await && is_known(function, "c").await);
    assert!(!is_known(function, "b").await, "the oldest cause of the project stayed");
    let caller = Claim {
        quota: Some(ClaimQuota::Caller { all: NameBounds { function: 3, project: 3 }, keyless: None }),
        ..claim("x", 1)
    };
    let outcome = ok("claim", claims.claim(request(project, function, caller, 0)).await);
    assert_eq!(outcome, Claimed::Yours, "causes count as callers' names");
}

/// Claims a key and stores a reply of this many bytes.
async fn answer(claims: &dyn Claims, claim: Claim, owner: (ProjectId, FunctionId), bytes: usize, bounds: AnswerBounds) {
    let request = request(owner.0, owner.1, claim, 0);
    assert_eq!(ok("claim", claims.claim(request.clone()).await), Claimed::Yours);
    let (run, key) = (request.run, request.claim.key);
    ok("answer", claims.answer(owner.0, owner.1, run, &key, vec![7; bytes].into(), bounds).await);
}

/// The bytes that are kept of answers.
async fn kept(claims: &dyn Claims, owner: (ProjectId, FunctionId), keys: &[&str]) -> Vec<usize> {
    let mut found = Vec::new();
    for key in keys {
        match ok("claim", claims.claim(request(owner.0, owner.1, claim(key, 1), 0)).await) {
            Claimed::Held { holder: Holder::Answered(reply), .. } => found.push(reply.len()),
            other => panic!("{key} is {other:?}"),
        }
    }
    found
}

fn expiring(key: &str, at_ms: u64, quota: Option<ClaimQuota>) -> Claim {
    Claim { expires_at: at(at_ms), quota, ..claim(key, 1) }
}

async fn the_oldest_answers_make_room(claims: &dyn Claims) {
    let (project, function, other) = (fresh(), fresh(), fresh());
    let bounds = AnswerBounds { all: ByteBounds { function: 100, project: 150 }, keyless: ByteBounds::NONE };
    for (at, key) in [(500, "a"), (501, "b"), (502, "c")] {
        answer(claims, expiring(key, at, None), (project, function), 40, bounds).await;
    }
    assert_eq!(kept(claims, (project, function), &["a", "b", "c"]).await, [0, 40, 40], "the oldest went, its name not");
    for (at, key) in [(503, "d"), (504, "e")] {
        answer(claims, expiring(key, at, None), (project, other), 40, bounds).await;
    }
    assert_eq!(kept(claims, (project, function), &["a", "b", "c"]).await, [0, 0, 40], "the project is full");
    assert_eq!(kept(claims, (project, other), &["d", "e"]).await, [40, 40]);
    answer(claims, expiring("f", 505, None), (project, function), 101, bounds).await;
    assert_eq!(kept(claims, (project, function), &["c", "f"]).await, [0, 0], "one that never fits is not kept");
}

async fn answers_without_a_key_make_room_first(claims: &dyn Claims) {
    let owner: (ProjectId, FunctionId) = (fresh(), fresh());
    let keyless = Some(ClaimQuota::Caller { all: WIDE, keyless: Some(WIDE) });
    let part = ByteBounds { function: 50, project: 50 };
    let bounds = AnswerBounds { all: ByteBounds { function: 100, project: 1_000 }, keyless: part };
    answer(claims, expiring("key", 500, None), owner, 40, bounds).await;
    for (at, key) in [(501, "a"), (502, "b"), (503, "c")] {
        answer(claims, expiring(key, at, keyless), owner, 20, bounds).await;
    }
    assert_eq!(kept(claims, owner, &["key", "a", "b", "c"]).await, [40, 0, 20, 20]);
    answer(claims, expiring("key 2", 504, None), owner, 40, bounds).await;
    assert_eq!(kept(claims, owner, &["key", "b", "c", "key 2"]).await, [40, 0, 20, 40]);
    answer(claims, expiring("d", 505, keyless), owner, 30, bounds).await;
    assert_eq!(kept(claims, owner, &["key", "c", "d", "key 2"]).await, [40, 0, 0, 40], "none pushes a key's out");
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
