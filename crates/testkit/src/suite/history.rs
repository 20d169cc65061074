//! What every run history promises of runs.

use std::time::Duration;

use faas_ports::{Expiry, RUNS_EXAMINED_MAX, RunHistory, RunQuery};
use faas_types::{Code, FunctionError, FunctionId, ProjectId, RunId, RunRecord, RunState, TriggerKind};

use super::ok;
use crate::fixture::{at, fresh, in_state, queued_run, succeeded};

/// Runs come back whole, filtered and paged. Uses its own projects.
pub async fn history(history: &dyn RunHistory) {
    records_come_back_whole(history).await;
    a_terminal_state_stays(history).await;
    a_batch_replaces_what_is_there(history).await;
    every_filter_selects(history).await;
    pages_put_together_are_the_whole(history).await;
    pages_stay_while_runs_are_written(history).await;
    no_filter_makes_a_page_long(history).await;
    projects_are_apart(history).await;
    old_runs_are_forgotten(history).await;
    old_results_are_removed(history).await;
    too_many_bytes_are_forgotten(history).await;
}

async fn records_come_back_whole(history: &dyn RunHistory) {
    let (project, function) = (fresh(), fresh());
    let mut failed = in_state(succeeded(queued_run(project, function, at(5))), RunState::Failed);
    failed.code = Some(Code::RuntimeError);
    failed.message = Some("it broke: \"ü\" \u{0} %".into());
    failed.error = Some(FunctionError { kind: "ValueError".into(), line: Some(3), ..FunctionError::default() });
    let runs = vec![queued_run(project, function, at(1)), succeeded(queued_run(project, function, at(2))), failed];
    ok("record", history.record(runs.clone()).await);
    ok("record nothing", history.record(Vec::new()).await);
    for run in &runs {
        let found = ok("run", history.run(project, run.id).await);
        assert_eq!(found.as_ref(), Some(run), "the record differs from what was recorded");
    }
    let newest_first: Vec<RunRecord> = runs.into_iter().rev().collect();
    assert_eq!(ok("runs", history.runs(&RunQuery::newest(project, 10)).await).runs, newest_first);
    assert_eq!(ok("unknown run", history.run(project, fresh()).await), None);
}

async fn a_terminal_state_stays(history: &dyn RunHistory) {
    let project: ProjectId = fresh();
    let queued = queued_run(project, fresh(), at(0));
    let mut running = in_state(queued.clone(), RunState::Running);
    running.started_at = Some(at(1));
    let ended = succeeded(running.clone());
    let state = async || ok("run", history.run(project, queued.id).await).map(|run| run.state());
    ok("record queued", history.record(vec![queued.clone()]).await);
    ok("record running", history.record(vec![running.clone()]).await);
    assert_eq!(state().await, Some(RunState::Running), "a later record replaces an earlier one");
    ok("record retried", history.record(vec![in_state(running.clone(), RunState::Retried)]).await);
    ok("record running again", history.record(vec![running.clone()]).await);
    ok("record the end and a late start", history.record(vec![ended.clone(), running.clone()]).await);
    assert_eq!(state().await, Some(RunState::Succeeded), "a terminal state was replaced within a batch");
    ok("record a late start", history.record(vec![running, queued.clone()]).await);
    assert_eq!(ok("run", history.run(project, queued.id).await), Some(ended), "a terminal state was replaced");
    let page = ok("runs", history.runs(&RunQuery::newest(project, 10)).await);
    assert_eq!(page.runs.len(), 1, "one run is listed more than once");
    let still = RunQuery { state: Some(RunState::Running), ..RunQuery::newest(project, 10) };
    assert!(ok("runs", history.runs(&still).await).runs.is_empty(), "a filter finds a state that has gone");
}

async fn a_batch_replaces_what_is_there(history: &dyn RunHistory) {
    let (project, function) = (fresh(), fresh());
    let queued: Vec<_> = (0..100).map(|n| queued_run(project, function, at(n))).collect();
    ok("record a few", history.record(queued.iter().step_by(33).cloned().collect()).await);
    let ended: Vec<_> = queued.iter().cloned().map(succeeded).collect();
    let late = [queued[50].clone()];
    ok("record all, and one twice", history.record(ended.iter().chain(&late).cloned().collect()).await);
    let mut found = ok("runs", history.runs(&RunQuery::newest(project, 200)).await).runs;
    found.reverse();
    assert_eq!(found, ended, "a batch lost runs, or what it says of them");
}

/// Records of all kinds, oldest first.
fn assortment(project: ProjectId, functions: &[FunctionId]) -> Vec<RunRecord> {
    let run = |n: u64| {
        let function = functions[usize::try_from(n % 2).unwrap_or(0)];
        let state = RunState::ALL[usize::try_from(n % 6).unwrap_or(0)];
        let code = match (state, n % 4) {
            (RunState::Failed, 1) => Some(Code::TimeoutExceeded),
            (RunState::Failed | RunState::Cancelled, _) => Some(Code::RuntimeError),
            _ => None,
        };
        let version = u32::try_from(n % 3).unwrap_or(0) + 1;
        let trigger = if n % 7 < 3 { TriggerKind::Api } else { TriggerKind::Http };
        let duration_us = state.is_terminal().then_some(n * 1000);
        let cold_start = n.is_multiple_of(5);
        let mut run = in_state(queued_run(project, function, at(n)), state);
        run.function_mut().version = version;
        (run.code, run.trigger) = (code, trigger);
        (run.duration_us, run.cold_start) = (duration_us, cold_start);
        run
    };
    (0..120).map(run).collect()
}

async fn every_filter_selects(history: &dyn RunHistory) {
    let project: ProjectId = fresh();
    let functions = [fresh(), fresh()];
    let all = assortment(project, &functions);
    ok("record", history.record(all.clone()).await);
    for bits in 0_u32..1024 {
        let on = |bit: u32| bits & 1 << bit != 0;
        let query = RunQuery {
            function: on(0).then_some(functions[1]),
            state: on(1).then_some(RunState::Failed),
            code: on(2).then_some(Code::RuntimeError),
            cold_start: on(3).then(|| on(0)),
            version: on(4).then_some(2),
            since: on(5).then(|| at(20)),
            until: on(6).then(|| at(99)),
            trigger: on(7).then_some(TriggerKind::Api),
            duration_min: on(8).then_some(Duration::from_millis(27)),
            duration_max: on(9).then_some(Duration::from_millis(93)),
            ..RunQuery::newest(project, 1000)
        };
        let wanted: Vec<_> = all.iter().rev().filter(|run| selects(&query, run)).map(|run| run.id).collect();
        let page = ok("runs", history.runs(&query).await);
        let found: Vec<_> = page.runs.iter().map(|run| run.id).collect();
        assert_eq!(found, wanted, "wrong runs for {query:?}");
        assert_eq!(page.next, None, "a last page says that another follows");
    }
}

/// What a filter means.
fn selects(query: &RunQuery, run: &RunRecord) -> bool {
    query.function.is_none_or(|function| run.function().id == function)
        && query.state.is_none_or(|state| run.state() == state)
        && query.code.is_none_or(|code| run.code == Some(code))
        && query.cold_start.is_none_or(|cold| run.cold_start == cold)
        && query.version.is_none_or(|version| run.function().version == version)
        && query.trigger.is_none_or(|trigger| run.trigger == trigger)
        && query.duration_min.is_none_or(|least| took(run).is_some_and(|took| took >= least))
        && query.duration_max.is_none_or(|most| took(run).is_some_and(|took| took <= most))
        && query.since.is_none_or(|since| run.created_at >= since)
        && query.until.is_none_or(|until| run.created_at < until)
}

fn took(run: &RunRecord) -> Option<Duration> {
    run.duration_us.map(Duration::from_micros)
}

async fn pages_put_together_are_the_whole(history: &dyn RunHistory) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    // Several in one millisecond: only the whole id orders them.
    let mut all: Vec<RunRecord> = (0..50).map(|n| queued_run(project, function, at(n / 10))).collect();
    ok("record", history.record(all.clone()).await);
    all.sort_by_key(|run| std::cmp::Reverse(run.id));
    for function in [None, Some(function)] {
        for limit in [1, 7, 25, 50, 51] {
            let mut query = RunQuery { function, ..RunQuery::newest(project, limit) };
            let mut paged = Vec::new();
            loop {
                let page = ok("runs", history.runs(&query).await);
                assert!(page.runs.len() <= limit as usize, "a page is longer than its limit");
                paged.extend(page.runs);
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
                assert!(paged.len() < all.len(), "a page follows the last one");
            }
            assert_eq!(paged, all, "pages of {limit} put together are not the whole");
        }
    }
    let none = ok("runs", history.runs(&RunQuery::newest(project, 0)).await);
    assert!(none.runs.is_empty() && none.next.is_none(), "a limit of 0 lists nothing");
}

async fn pages_stay_while_runs_are_written(history: &dyn RunHistory) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let ended = |n: u64| succeeded(queued_run(project, function, at(n)));
    let all: Vec<RunRecord> = (0..30).map(ended).collect();
    ok("record", history.record(all.clone()).await);
    let mut query = RunQuery { function: Some(function), ..RunQuery::newest(project, 4) };
    let mut paged = Vec::new();
    for n in 30.. {
        let page = ok("runs", history.runs(&query).await);
        paged.extend(page.runs.into_iter().map(|run| run.id));
        ok("record more", history.record(vec![ended(n)]).await);
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    let wanted: Vec<_> = all.iter().rev().map(|run| run.id).collect();
    assert_eq!(paged, wanted, "pages shift when newer runs are written");
}

async fn no_filter_makes_a_page_long(history: &dyn RunHistory) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let count = RUNS_EXAMINED_MAX * 2 + 10;
    let mut runs: Vec<RunRecord> = (0..count).map(|n| succeeded(queued_run(project, function, at(n)))).collect();
    runs[5].trigger = TriggerKind::Api;
    runs[6] = in_state(runs[6].clone(), RunState::Failed);
    ok("record", history.record(runs.clone()).await);
    let by_trigger = RunQuery { trigger: Some(TriggerKind::Api), ..RunQuery::newest(project, 10) };
    for query in [by_trigger.clone(), RunQuery { function: Some(function), ..by_trigger }] {
        let (found, examined) = every_page(history, query.clone()).await;
        assert_eq!(examined, [RUNS_EXAMINED_MAX, RUNS_EXAMINED_MAX, 10], "runs looked at for {query:?}");
        assert_eq!(found, [runs[5].id], "a page that stopped early lost a run");
    }
    let newest = ok("runs", history.runs(&RunQuery::newest(project, 10)).await);
    assert_eq!(newest.examined, 11, "a page looks at more than it shows");
    let failed = RunQuery { state: Some(RunState::Failed), ..RunQuery::newest(project, 10) };
    assert_eq!(every_page(history, failed).await.0, [runs[6].id], "a needle is not found");
    forget_all(history, project).await;
}

/// All that a query finds, page by page, and how many runs each page looked at.
async fn every_page(history: &dyn RunHistory, mut query: RunQuery) -> (Vec<RunId>, Vec<u64>) {
    let (mut found, mut examined) = (Vec::new(), Vec::new());
    loop {
        let page = ok("runs", history.runs(&query).await);
        examined.push(page.examined);
        found.extend(page.runs.into_iter().map(|run| run.id));
        let Some(next) = page.next else { return (found, examined) };
        query.after = Some(next);
    }
}

async fn forget_all(history: &dyn RunHistory, project: ProjectId) {
    let all = Expiry { runs_before: at(1 << 40), ..Expiry::nothing(project, 10_000) };
    while ok("expire", history.expire(&all).await).more {}
}

async fn projects_are_apart(history: &dyn RunHistory) {
    let (mine, other): (ProjectId, ProjectId) = (fresh(), fresh());
    let run = succeeded(queued_run(mine, fresh(), at(0)));
    ok("record", history.record(vec![run.clone()]).await);
    assert_eq!(ok("run", history.run(other, run.id).await), None, "another project sees a run");
    let query = RunQuery { function: Some(run.function().id), ..RunQuery::newest(other, 10) };
    assert!(ok("runs", history.runs(&query).await).runs.is_empty(), "another project lists a run");
    let mut twin = run.clone();
    twin.project = other;
    twin.function_mut().version = 9;
    ok("record the same id elsewhere", history.record(vec![twin.clone()]).await);
    assert_eq!(ok("run", history.run(mine, run.id).await), Some(run.clone()), "another project replaced a run");
    let elsewhere = Expiry { runs_before: at(1000), results_before: at(1000), ..Expiry::nothing(other, 100) };
    ok("expire elsewhere", history.expire(&elsewhere).await);
    assert_eq!(ok("run", history.run(mine, run.id).await), Some(run), "another project's expiry took a run");
}

async fn too_many_bytes_are_forgotten(history: &dyn RunHistory) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let large = |n| {
        let mut run = succeeded(queued_run(project, function, at(n)));
        run.message = Some("x".repeat(10_000));
        run
    };
    let mut runs: Vec<RunRecord> = (0..20).map(large).collect();
    runs[0] = in_state(runs[0].clone(), RunState::Running);
    ok("record", history.record(runs.clone()).await);
    ok("record again", history.record(runs.clone()).await);
    let step = |most: u64| Expiry { run_bytes_max: most, ..Expiry::nothing(project, 7) };
    assert_eq!(ok("expire", history.expire(&step(400_000)).await).runs, 0, "runs that were recorded again count twice");
    let first = ok("expire", history.expire(&step(150_000)).await);
    assert_eq!((first.runs, first.more), (7, true), "a step takes as many as its limit");
    while ok("expire", history.expire(&step(150_000)).await).more {}
    let left = ok("runs", history.runs(&RunQuery::newest(project, 100)).await).runs;
    assert!((10..=14).contains(&left.len()), "{} runs are left", left.len());
    assert_eq!(left[0].id, runs[19].id, "the newest run went");
    assert_eq!(left.last().map(|run| run.id), Some(runs[0].id), "a run that has not ended went");
    assert_eq!(ok("expire", history.expire(&step(150_000)).await).runs, 0, "what is left was counted wrongly");
}

async fn old_runs_are_forgotten(history: &dyn RunHistory) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let mut runs: Vec<RunRecord> = (0..20).map(|n| succeeded(queued_run(project, function, at(n)))).collect();
    runs[3] = in_state(runs[3].clone(), RunState::Running);
    ok("record", history.record(runs.clone()).await);
    let step = |limit: u32| Expiry { runs_before: at(10), ..Expiry::nothing(project, limit) };
    let first = ok("expire", history.expire(&step(4)).await);
    assert_eq!((first.runs, first.more), (4, true), "a step takes as many as its limit");
    let second = ok("expire", history.expire(&step(100)).await);
    assert_eq!((second.runs, second.more), (5, false), "a step takes what is left");
    assert_eq!(ok("expire", history.expire(&step(100)).await).runs, 0, "expiry ends");
    let left: Vec<_> =
        ok("runs", history.runs(&RunQuery::newest(project, 100)).await).runs.iter().map(|run| run.id).collect();
    let wanted: Vec<_> = runs[10..].iter().rev().chain([&runs[3]]).map(|run| run.id).collect();
    assert_eq!(left, wanted, "expiry took a run that is newer or has not ended");
}

async fn old_results_are_removed(history: &dyn RunHistory) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let runs: Vec<RunRecord> = (0..20).map(|n| succeeded(queued_run(project, function, at(n)))).collect();
    ok("record", history.record(runs.clone()).await);
    let step = Expiry { results_before: at(10), ..Expiry::nothing(project, 4) };
    for _ in 0..10 {
        if !ok("expire", history.expire(&step).await).more {
            break;
        }
    }
    let page = ok("runs", history.runs(&RunQuery::newest(project, 100)).await);
    let wanted: Vec<RunRecord> = runs
        .into_iter()
        .map(|mut run| {
            run.result = run.result.filter(|_| run.created_at >= at(10));
            run
        })
        .rev()
        .collect();
    assert_eq!(page.runs, wanted, "results that are old go, and nothing else");
}
