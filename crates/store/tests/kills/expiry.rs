//! Forgetting is never half done, however the server ends.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faas_ports::{Expiry, LogQuery, RunQuery};
use faas_store::{Store, StoreConfig};
use faas_testkit::fixture::{at, expire_all, fresh, log_line, queued_run, succeeded};
use faas_types::{FunctionId, LogLine, ProjectId, RunRecord};

use crate::Role;

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

/// The process that is killed. Writes and forgets, and prints each step on standard output.
pub(crate) async fn expire_until_killed(dir: &Path) {
    let store = Arc::new(open(dir));
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

pub(crate) async fn a_kill_in_the_middle_leaves_nothing_half_done() {
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
        assert_eq!(expire_all(&*store.history(), &all).await.log_bytes, 0);
        assert!(every_run(&store).await.is_empty() && every_line(&store).await.is_empty(), "something cannot go");
    }
}

/// Starts a child that writes and forgets, and kills it after some steps.
fn run_and_kill(dir: &Path, steps: usize) {
    let mut child = Role::Expirer.command(dir).stdout(Stdio::piped()).spawn().expect("the child starts");
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
