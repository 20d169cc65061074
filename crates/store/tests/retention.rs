//! Pages of the history are bounded, and what is forgotten gives its room back.

use std::path::Path;

use faas_ports::{Expiry, RUNS_EXAMINED_MAX, RunQuery};
use faas_store::{Store, StoreConfig};
use faas_testkit::fixture::{at, expire_all, fresh, in_state, log_line, queued_run, succeeded};
use faas_types::{FunctionId, ProjectId, RunRecord, RunState};

fn open(dir: &Path) -> Store {
    Store::open(&StoreConfig { low_water: 0, ballast: 1 << 20, ..StoreConfig::new(dir) }).expect("open")
}

fn owner() -> ProjectId {
    ProjectId::from_u128(7)
}

/// Runs of a function, a millisecond apart.
fn runs(function: FunctionId, count: u64) -> Vec<RunRecord> {
    (0..count).map(|n| succeeded(queued_run(owner(), function, at(n)))).collect()
}

#[tokio::test]
async fn a_page_of_runs_is_bounded_in_bytes() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = open(dir.path());
    let mut runs = runs(fresh(), 100);
    runs.iter_mut().for_each(|run| run.message = Some("x".repeat(200_000)));
    store.history().record(runs.clone()).await.expect("record");
    let (mut query, mut found, mut pages) = (RunQuery::newest(owner(), 100), Vec::new(), 0);
    loop {
        let page = store.history().runs(&query).await.expect("runs");
        assert!(!page.runs.is_empty() && page.runs.len() <= 21, "{} runs of 200 KB", page.runs.len());
        found.extend(page.runs.into_iter().map(|run| run.id));
        pages += 1;
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    assert_eq!((found.len(), pages), (100, 5));
}

#[tokio::test]
async fn what_people_look_for_is_found_in_one_page() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = open(dir.path());
    let function = fresh();
    let mut runs = runs(function, RUNS_EXAMINED_MAX + 100);
    runs[3] = in_state(runs[3].clone(), RunState::Failed);
    runs[4].cold_start = true;
    store.history().record(runs.clone()).await.expect("record");
    let newest = RunQuery { function: Some(function), ..RunQuery::newest(owner(), 10) };
    for (query, wanted) in [
        (RunQuery { state: Some(RunState::Failed), ..newest.clone() }, runs[3].id),
        (RunQuery { cold_start: Some(true), ..newest.clone() }, runs[4].id),
    ] {
        let page = store.history().runs(&query).await.expect("runs");
        assert_eq!(page.runs.iter().map(|run| run.id).collect::<Vec<_>>(), [wanted]);
        assert!(page.examined <= 2, "{} runs looked at for {query:?}", page.examined);
    }
}

#[tokio::test]
async fn room_is_given_back() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = open(dir.path());
    let function: FunctionId = fresh();
    let text = "x".repeat(10_000);
    for batch in 0..60 {
        let lines = (0..100).map(|n| log_line(owner(), function, None, at(batch * 100 + n), &text)).collect();
        store.history().append_logs(lines).await.expect("append");
    }
    let size = |name: &str| std::fs::metadata(dir.path().join(name)).map_or(0, |found| found.len());
    store.close();
    let before = size("logs.db");
    assert!(before > 55 << 20, "only {before} bytes were written");
    drop(store);
    let store = open(dir.path());
    let all = Expiry { lines_before: at(1 << 30), ..Expiry::nothing(owner(), 250) };
    let done = expire_all(&*store.history(), &all).await;
    assert_eq!((done.lines, done.log_bytes), (6000, 0));
    assert!(done.reclaimed > 30 << 20, "{} bytes were given back", done.reclaimed);
    store.close();
    let after = size("logs.db");
    assert!(after < 20 << 20, "the file has {after} bytes after everything went, {before} before");
    drop(store);
    open(dir.path()).check().await.expect("the databases are sound");
}
