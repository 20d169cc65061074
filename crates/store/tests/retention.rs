//! Forgetting: it finds its rows, gives their room back, and is never half done, however the server ends.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faas_ports::{Expired, Expiry, LogQuery, RUNS_EXAMINED_MAX, RunQuery};
use faas_store::{Store, StoreConfig};
use faas_testkit::fixture::{at, fresh, in_state, log_line, queued_run, succeeded};
use faas_types::{FunctionId, LogLine, ProjectId, RunRecord, RunState};

const DIR: &str = "FAAS_TEST_RETENTION_DIR";
const PROJECT: u128 = 7;
const MARK: &str = "step ";
const TEXT: usize = 300;
/// What a line costs besides its text.
const LINE_COST: u64 = 128;

fn open(dir: &Path) -> Store {
    Store::open(&StoreConfig { low_water: 0, ballast: 1 << 20, ..StoreConfig::new(dir) }).expect("open")
}

fn owner() -> ProjectId {
    ProjectId::from_u128(PROJECT)
}

/// Runs and lines of one moment.
fn written_at(function: FunctionId, moment: u64, count: u64) -> (Vec<RunRecord>, Vec<LogLine>) {
    let text = "x".repeat(TEXT);
    let run = |n: u64| succeeded(queued_run(owner(), function, at(moment + n)));
    let line = |n: u64| log_line(owner(), function, None, at(moment + n), &text);
    ((0..count).map(run).collect(), (0..count).map(line).collect())
}

async fn expire_all(store: &Store, expiry: &Expiry) -> Expired {
    let mut sum = Expired::default();
    loop {
        let done = store.history().expire(expiry).await.expect("expire");
        sum.runs += done.runs;
        sum.lines += done.lines;
        sum.reclaimed += done.reclaimed;
        sum.log_bytes = done.log_bytes;
        if !done.more {
            return sum;
        }
    }
}

#[tokio::test]
async fn a_page_of_runs_is_bounded_in_bytes() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = open(dir.path());
    let (mut runs, _) = written_at(fresh(), 0, 100);
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
    let (mut runs, _) = written_at(function, 0, RUNS_EXAMINED_MAX + 100);
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
    let done = expire_all(&store, &all).await;
    assert_eq!((done.lines, done.log_bytes), (6000, 0));
    assert!(done.reclaimed > 30 << 20, "{} bytes were given back", done.reclaimed);
    store.close();
    let after = size("logs.db");
    assert!(after < 20 << 20, "the file has {after} bytes after everything went, {before} before");
    drop(store);
    open(dir.path()).check().await.expect("the databases are sound");
}

/// Started and killed by the test below.
#[test]
#[ignore = "started by `a_kill_in_the_middle_leaves_nothing_half_done`"]
fn child_that_is_killed() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(async {
        let store = Arc::new(open(Path::new(&dir)));
        let written = Arc::new(AtomicU64::new(0));
        let writer = tokio::spawn(write_for_ever(Arc::clone(&store), Arc::clone(&written)));
        for step in 0.. {
            // Follows the writer, so that something is always old and something young.
            let moment = written.load(Ordering::Acquire);
            let expiry = Expiry {
                runs_before: at(moment * 40),
                results_before: at(moment * 45),
                lines_before: at(moment * 30),
                log_bytes_max: 200_000,
                ..Expiry::nothing(owner(), 50)
            };
            store.history().expire(&expiry).await.expect("expire");
            if moment > 0 {
                std::io::stdout().write_all(format!("{MARK}{step}\n").as_bytes()).expect("the parent reads");
            }
        }
        writer.await.expect("the writer goes on");
    });
}

async fn write_for_ever(store: Arc<Store>, written: Arc<AtomicU64>) {
    let function = fresh();
    for moment in 0.. {
        let (runs, lines) = written_at(function, moment * 50, 50);
        store.history().record(runs).await.expect("record");
        store.history().append_logs(lines).await.expect("append");
        written.store(moment + 1, Ordering::Release);
    }
}

#[tokio::test]
async fn a_kill_in_the_middle_leaves_nothing_half_done() {
    for steps in [3, 40, 150] {
        let dir = tempfile::tempdir().expect("temp dir");
        run_and_kill(dir.path(), steps);
        let store = open(dir.path());
        store.check().await.expect("the databases are sound");
        let runs = every_run(&store).await;
        assert!(!runs.is_empty(), "nothing was written before step {steps}");
        // Oldest first: no result up to some run, all results after it.
        let first_kept = runs.iter().position(|run| run.result.is_some()).unwrap_or(runs.len());
        assert!(runs[first_kept..].iter().all(|run| run.result.is_some()), "results went out of order");
        let used: u64 = every_line(&store).await.iter().map(|line| line.message.len() as u64 + LINE_COST).sum();
        let told = store.history().expire(&Expiry::nothing(owner(), 1)).await.expect("expire").log_bytes;
        assert_eq!(told, used, "the bytes of the lines and their count differ");
        let all = Expiry { runs_before: at(1 << 40), lines_before: at(1 << 40), ..Expiry::nothing(owner(), 5000) };
        assert_eq!(expire_all(&store, &all).await.log_bytes, 0);
        assert!(every_run(&store).await.is_empty() && every_line(&store).await.is_empty(), "something cannot go");
    }
}

/// Starts a child that writes and forgets, and kills it after some steps.
fn run_and_kill(dir: &Path, steps: usize) {
    let mut child = Command::new(std::env::current_exe().expect("this test's path"))
        .args(["child_that_is_killed", "--exact", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let seen = lines.map_while(Result::ok).filter(|line| line.starts_with(MARK)).take(steps).count();
    child.kill().expect("kill -9");
    child.wait().expect("the child is gone");
    assert_eq!(seen, steps, "the child ended by itself");
}

async fn every_run(store: &Store) -> Vec<RunRecord> {
    let mut query = RunQuery::newest(owner(), 1000);
    let mut runs = Vec::new();
    loop {
        let page = store.history().runs(&query).await.expect("runs");
        runs.extend(page.runs);
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    runs.reverse();
    runs
}

async fn every_line(store: &Store) -> Vec<LogLine> {
    let mut query = LogQuery { tail: false, ..LogQuery::newest(owner(), 1000) };
    let mut lines = Vec::new();
    loop {
        let page = store.history().logs(&query).await.expect("logs");
        lines.extend(page.lines.into_iter().map(|(_, line)| line));
        query.after = Some(page.next);
        if !page.more {
            return lines;
        }
    }
}
