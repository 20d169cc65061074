//! How fast the embedded store is: durable commits by number of producers, batches of runs and lines, filtered pages,
//! and what writers feel of retention.
//!
//! `cargo bench -p faas-store`. `FAAS_BENCH_RUNS` sets how many runs the history holds (default 200,000) and `TMPDIR`
//! the disk.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_ports::{ByteBounds, Collection, Expect, Expiry, Key, LogQuery, RunQuery, Want, Write};
use faas_store::{Store, StoreConfig};
use faas_testkit::fixture::{
    EPOCH, at, everything, finish, fresh, in_state, log_line, new_item, queued_run, succeeded,
};
use faas_types::{Bundle, BundleFile, Code, Digest, FunctionId, ProjectId, RunRecord, RunState};

const SPAN: Duration = Duration::from_secs(2);
const BATCH: u64 = 1000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    let dir = tempfile::tempdir().expect("temp dir");
    runtime.block_on(async {
        let store = Arc::new(Store::open(&StoreConfig::new(dir.path())).expect("open"));
        for producers in [1, 16, 64, 256] {
            enqueues(&store, producers).await;
        }
        for producers in [1, 16, 64] {
            commits(&store, producers).await;
        }
        let owner = (fresh(), fresh());
        groups(&store, owner).await;
        leases(&store, owner).await;
        blobs(&store).await;
        bundle(&store).await;
        lines(&store).await;
        pages(&store).await;
        forgetting(&store).await;
    });
}

fn report(what: &str, count: u64, took: Duration) {
    let rate = count as f64 / took.as_secs_f64();
    say(&format!("{what:<44} {rate:>10.0} /s"));
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output");
}

/// Runs `work` again and again in many tasks and returns how often it ran.
async fn produce<F>(producers: usize, work: impl Fn(Arc<Store>) -> F, store: &Arc<Store>) -> (u64, Duration)
where
    F: Future<Output = ()> + Send + 'static,
{
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    let mut count = 0;
    for _ in 0..producers {
        tasks.spawn(work(Arc::clone(store)));
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("the work ends well");
        count += 1;
        if begun.elapsed() < SPAN {
            tasks.spawn(work(Arc::clone(store)));
        }
    }
    (count, begun.elapsed())
}

async fn enqueues(store: &Arc<Store>, producers: usize) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let work = |store: Arc<Store>| async move {
        store.queue().enqueue(vec![new_item(project, function)]).await.expect("enqueue");
    };
    let (count, took) = produce(producers, work, store).await;
    report(&format!("durable enqueue, {producers} producers"), count, took);
}

async fn commits(store: &Arc<Store>, producers: usize) {
    let project: ProjectId = fresh();
    let work = |store: Arc<Store>| async move {
        let name: faas_types::RunId = fresh();
        let key = Key::new(project, Collection::Functions, name.to_string());
        let put = Write::Put { key, value: vec![7; 500].into(), expect: Expect::Absent };
        store.registry().commit(vec![put]).await.expect("commit");
    };
    let (count, took) = produce(producers, work, store).await;
    report(&format!("registry commit of 500 bytes, {producers} producers"), count, took);
}

async fn groups(store: &Arc<Store>, owner: (ProjectId, FunctionId)) {
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < SPAN {
        let items: Vec<_> = (0..256).map(|_| new_item(owner.0, owner.1)).collect();
        count += items.len() as u64;
        store.queue().enqueue(items).await.expect("enqueue");
    }
    report("durable enqueue in groups of 256", count, begun.elapsed());
}

async fn leases(store: &Arc<Store>, owner: (ProjectId, FunctionId)) {
    let want = Want { max: 100, ..everything(owner.0, owner.1) };
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < SPAN {
        let leases = store.queue().lease("bench", &[want], Duration::from_secs(60), EPOCH).await.expect("lease");
        if leases.is_empty() {
            break;
        }
        count += leases.len() as u64;
        let ends = leases.iter().map(finish).collect();
        store.queue().settle(ends, ByteBounds::NONE).await.expect("settle");
    }
    report("lease and settle by 100", count, begun.elapsed());
}

async fn blobs(store: &Arc<Store>) {
    for producers in [1, 16] {
        let work = |store: Arc<Store>| async move {
            let name: faas_types::RunId = fresh();
            store.blobs().put(name.to_string().repeat(137).into()).await.expect("put");
        };
        let (count, took) = produce(producers, work, store).await;
        report(&format!("blob put of 4 KiB, {producers} producers"), count, took);
    }
}

async fn bundle(store: &Arc<Store>) {
    let mut bundle = Bundle::default();
    for n in 0..1000 {
        let content = format!("file {n}").repeat(100);
        let digest = store.blobs().put(content.clone().into()).await.expect("put");
        let path = format!("d{}/f{n}.py", n % 20);
        bundle.files.push(BundleFile { path, digest, size: content.len() as u64, executable: false });
    }
    let digest = Digest::from_bytes(*blake3::hash(&bundle.canonical_bytes()).as_bytes());
    let begun = Instant::now();
    store.layers().seal_bundle(&digest, &bundle, &*store.blobs()).await.expect("seal");
    say(&format!("{:<44} {:>10.1} ms", "sealing a bundle of 1,000 files", begun.elapsed().as_secs_f64() * 1e3));
}

async fn lines(store: &Arc<Store>) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let begun = Instant::now();
    for batch in 0..200 {
        let line = |n| {
            log_line(
                project,
                function,
                Some(fresh()),
                at(batch * BATCH + n),
                "a line of ordinary length, about sixty characters long",
            )
        };
        store.history().append_logs((0..BATCH).map(line).collect()).await.expect("append");
    }
    report("log lines in batches of 1,000", 200 * BATCH, begun.elapsed());
    let begun = Instant::now();
    let query = LogQuery { search: Some("absent".into()), ..LogQuery::newest(project, 100) };
    store.history().logs(&query).await.expect("logs");
    say(&format!("{:<44} {:>10.1} ms", "search that reads 200,000 lines", begun.elapsed().as_secs_f64() * 1e3));
}

async fn pages(store: &Arc<Store>) {
    let total: u64 = std::env::var("FAAS_BENCH_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let project: ProjectId = fresh();
    let functions: Vec<FunctionId> = (0..100).map(|_| fresh()).collect();
    let run = |n: u64| {
        let function = functions[usize::try_from(n % 97).unwrap_or(0)];
        let mut run = succeeded(queued_run(project, function, at(n / 5)));
        run.function_mut().version = u32::try_from(n * 20 / total).unwrap_or(0) + 1;
        run.cold_start = n.is_multiple_of(1000);
        if n.is_multiple_of(5000) {
            run = in_state(run, RunState::Failed);
            run.code = Some(Code::TimeoutExceeded);
        }
        run
    };
    let mut writing = Duration::ZERO;
    for batch in 0..total / BATCH {
        let runs: Vec<RunRecord> = (batch * BATCH..(batch + 1) * BATCH).map(run).collect();
        let begun = Instant::now();
        store.history().record(runs).await.expect("record");
        writing += begun.elapsed();
    }
    report(&format!("runs in batches of 1,000, up to {total}"), total, writing);
    let one = Some(functions[3]);
    let all = RunQuery::newest(project, 50);
    let middle = Some(at(total / 10));
    for (what, query) in [
        ("newest of a project", all.clone()),
        ("newest of a function", RunQuery { function: one, ..all.clone() }),
        ("failed of a project", RunQuery { state: Some(RunState::Failed), ..all.clone() }),
        ("failed of a function", RunQuery { state: Some(RunState::Failed), function: one, ..all.clone() }),
        ("cold of a function", RunQuery { cold_start: Some(true), function: one, ..all.clone() }),
        ("an old version of a function", RunQuery { version: Some(2), function: one, ..all.clone() }),
        ("one code of a project", RunQuery { code: Some(Code::TimeoutExceeded), ..all.clone() }),
        ("slow ones of a function, none", RunQuery { duration_min: Some(SPAN), function: one, ..all.clone() }),
        ("slow ones of a project, none", RunQuery { duration_min: Some(SPAN), ..all.clone() }),
        ("a function until mid-history", RunQuery { function: one, until: middle, ..all.clone() }),
        ("none: a code that never was", RunQuery { code: Some(Code::RateLimited), function: one, ..all.clone() }),
    ] {
        page(store, what, &query).await;
    }
}

async fn page(store: &Arc<Store>, what: &str, query: &RunQuery) {
    let history = store.history();
    let mut times = Vec::new();
    let mut rows = 0;
    for _ in 0..100 {
        let begun = Instant::now();
        rows = history.runs(query).await.expect("runs").runs.len();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let (p50, p95) = (millis(times[50]), millis(times[95]));
    say(&format!("page: {what:<38} {p50:>7.2} ms p50 {p95:>7.2} ms p95 ({rows} rows)"));
}

/// How long a durable enqueue takes, alone and while a hundred thousand old runs and their lines go.
async fn forgetting(store: &Arc<Store>) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    for batch in 0..100 {
        let run = |n: u64| succeeded(queued_run(project, function, at(batch * BATCH + n)));
        let line =
            |n: u64| log_line(project, function, None, at(n), "a line of ordinary length, about sixty characters");
        store.history().record((0..BATCH).map(run).collect()).await.expect("record");
        store.history().append_logs((0..BATCH).map(line).collect()).await.expect("append");
    }
    enqueue_latency(store, "durable enqueue, nothing else", async || tokio::time::sleep(SPAN).await).await;
    let far = at(1 << 40);
    let old = Expiry { runs_before: far, results_before: far, lines_before: far, ..Expiry::nothing(project, 250) };
    enqueue_latency(store, "durable enqueue while history is forgotten", async || {
        loop {
            let begun = Instant::now();
            if !store.history().expire(&old).await.expect("expire").more {
                break;
            }
            tokio::time::sleep((begun.elapsed() * 3).max(Duration::from_millis(10))).await;
        }
    })
    .await;
}

/// Enqueues one after another until `work` is done.
async fn enqueue_latency(store: &Arc<Store>, what: &str, work: impl AsyncFnOnce()) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let mut times = Vec::new();
    let enqueues = async {
        loop {
            let begun = Instant::now();
            store.queue().enqueue(vec![new_item(project, function)]).await.expect("enqueue");
            times.push(begun.elapsed());
        }
    };
    let begun = Instant::now();
    tokio::select! {
        () = enqueues => {}
        () = work() => {}
    }
    times.sort_unstable();
    let millis = |share: usize| times[(times.len() - 1) * share / 1000].as_secs_f64() * 1e3;
    let (p50, p99, most) = (millis(500), millis(990), millis(1000));
    let took = begun.elapsed().as_secs_f64();
    say(&format!("{what:<44} {p50:>7.2} ms p50 {p99:>7.2} ms p99 {most:>7.2} ms max in {took:.1} s"));
}
