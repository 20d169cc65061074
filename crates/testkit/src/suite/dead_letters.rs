//! What every keeper of dead letters promises, together with its queue.

use std::time::Duration;

use faas_ports::{
    ByteBounds, DeadLetterQuery, DeadLetters, Enqueued, FollowUps, NewItem, RunOutcome, RunQueue, Settlement, Want,
};
use faas_types::{Code, FunctionId, ProjectId, RunId, RunState};

use super::ok;
use crate::fixture::{at, fresh, in_state, new_item};

/// What is given up is kept whole, listed, tried again once and forgotten on request.
pub async fn dead_letters(letters: &dyn DeadLetters, queue: &dyn RunQueue) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let codes = [Code::RuntimeError, Code::TimeoutExceeded, Code::RuntimeError];
    let mut dead: Vec<RunId> = Vec::new();
    for code in codes {
        dead.push(bury(queue, new_item(project, function), code).await);
    }
    let elsewhere = bury(queue, new_item(project, fresh()), Code::RuntimeError).await;
    let all = DeadLetterQuery { project, function: None, code: None, since: None, until: None, after: None, limit: 10 };
    let list = async |query: DeadLetterQuery| -> Vec<RunId> {
        let mut found: Vec<RunId> =
            ok("dead_letters", letters.dead_letters(&query).await).iter().map(|letter| letter.record.id).collect();
        found.sort_unstable();
        found
    };
    let sorted = |mut ids: Vec<RunId>| {
        ids.sort_unstable();
        ids
    };
    assert_eq!(list(all.clone()).await, sorted([&dead[..], &[elsewhere]].concat()));
    assert_eq!(list(DeadLetterQuery { function: Some(function), ..all.clone() }).await, sorted(dead.clone()));
    assert_eq!(list(DeadLetterQuery { code: Some(Code::TimeoutExceeded), ..all.clone() }).await, [dead[1]]);
    let first = ok("dead_letters", letters.dead_letters(&DeadLetterQuery { limit: 2, ..all.clone() }).await);
    assert_eq!(first.len(), 2);
    let rest = list(DeadLetterQuery { after: Some(first[1].record.id), ..all.clone() }).await;
    assert_eq!(rest.len(), 2, "the second page does not follow the first");
    let letter = ok("dead_letter", letters.dead_letter(project, dead[1]).await).expect("the letter");
    assert_eq!((letter.reason.as_str(), letter.died_at), ("why", at(5)));
    assert_eq!((letter.record.code, letter.record.state()), (Some(Code::TimeoutExceeded), RunState::Failed));
    assert!(ok("dead_letter", letters.dead_letter(fresh(), dead[1]).await).is_none(), "projects share letters");
    assert_eq!(ok("input", letters.input(project, dead[1]).await).as_deref(), Some(&b"payload"[..]));

    // Redriven once, however many callers ask.
    let again = || NewItem { redrives: Some(dead[0]), ..new_item(project, function) };
    let outcomes = ok("enqueue", queue.enqueue(vec![again(), again()]).await);
    assert_eq!(outcomes, [Enqueued::Accepted, Enqueued::Gone]);
    assert!(ok("dead_letter", letters.dead_letter(project, dead[0]).await).is_none());
    assert!(ok("input", letters.input(project, dead[0]).await).is_some(), "the input went with the letter");

    assert_eq!(ok("purge", letters.purge(project, vec![dead[1], dead[1], fresh()]).await).rows, 1);
    assert!(ok("input", letters.input(project, dead[1]).await).is_none(), "a purged input is still there");
    ok("expire", letters.expire_dead(project, at(0), 1_000).await);
    assert!(ok("input", letters.input(project, dead[2]).await).is_some(), "it went before its time");
    ok("expire", letters.expire_dead(fresh(), at(1 << 40), 1_000).await);
    assert!(ok("dead_letter", letters.dead_letter(project, dead[2]).await).is_some(), "another project's went");
    assert!(ok("input", letters.input(project, dead[2]).await).is_some(), "another project's went");
    ok("expire", letters.expire_dead(project, at(6), 1_000).await);
    assert!(ok("dead_letter", letters.dead_letter(project, dead[2]).await).is_none());
    assert!(ok("input", letters.input(project, dead[2]).await).is_none());
    assert!(list(all).await.is_empty());
    let waiting = ok("lease", lease(queue, project, function).await);
    assert_eq!(waiting.len(), 1, "the input of a run that waits was forgotten");
    assert_eq!(&waiting[0].input[..], b"payload");
}

async fn lease(
    queue: &dyn RunQueue,
    project: ProjectId,
    function: FunctionId,
) -> faas_ports::PortResult<Vec<faas_ports::Lease>> {
    queue.lease("worker", &[Want { project, function, max: 10 }], Duration::from_secs(1), at(0)).await
}

async fn bury(queue: &dyn RunQueue, item: NewItem, code: Code) -> RunId {
    let (project, function, id) = (item.record.project, item.record.function().id, item.record.id);
    ok("enqueue", queue.enqueue(vec![item]).await);
    let lease = ok("lease", lease(queue, project, function).await).remove(0);
    let mut record = in_state(lease.record.clone(), RunState::Failed);
    (record.code, record.finished_at) = (Some(code), Some(at(5)));
    let outcome =
        RunOutcome::Finish { record: Box::new(record), dead: Some("why".into()), follow_ups: FollowUps::default() };
    let held =
        ok("settle", queue.settle(vec![Settlement { lease: lease.mark(), outcome }], ByteBounds::NONE).await).held;
    assert_eq!(held, [true]);
    id
}
