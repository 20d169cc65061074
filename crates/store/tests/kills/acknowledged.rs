//! What was acknowledged survives `kill -9`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use faas_ports::{Collection, Expect, Key, Write as Change};
use faas_store::{Store, StoreConfig};
use faas_testkit::fixture::{EPOCH, at, everything, fresh, new_item, queued_run, succeeded};
use faas_types::{Bundle, BundleFile, Digest, FunctionId, ProjectId, RunId};

use crate::Role;

const ROUNDS: usize = 10;
const PROJECT: u128 = 7;
const FUNCTION: u128 = 9;
const MARK: &str = "ack ";

fn config(dir: &Path) -> StoreConfig {
    StoreConfig { low_water: 0, ballast: 1 << 20, ..StoreConfig::new(dir) }
}

fn owner() -> (ProjectId, FunctionId) {
    (ProjectId::from_u128(PROJECT), FunctionId::from_u128(FUNCTION))
}

/// The process that is killed. Prints each acknowledged write on standard output.
pub(crate) async fn write_until_killed(dir: &Path) {
    let store = Arc::new(Store::open(&config(dir)).expect("open"));
    let writers: Vec<_> = (0..8).map(|_| tokio::spawn(write_for_ever(Arc::clone(&store)))).collect();
    for writer in writers {
        writer.await.expect("the writer goes on");
    }
}

async fn write_for_ever(store: Arc<Store>) {
    let (project, function) = owner();
    loop {
        let id: RunId = fresh();
        let key = Key::new(project, Collection::Functions, id.to_string());
        let put = Change::Put { key, value: id.to_string().into(), expect: Expect::Absent };
        store.registry().commit(vec![put]).await.expect("commit");
        acknowledge("entry", &id.to_string());
        let item = new_item(project, function);
        store.queue().enqueue(vec![item.clone()]).await.expect("enqueue");
        acknowledge("item", &item.record.id.to_string());
        let run = succeeded(queued_run(project, function, at(1)));
        store.history().record(vec![run.clone()]).await.expect("record");
        acknowledge("run", &run.id.to_string());
        let digest = store.blobs().put(id.to_string().into()).await.expect("put");
        acknowledge("blob", &digest.to_string());
        let file = BundleFile { path: "a/b".into(), digest, size: id.to_string().len() as u64, executable: false };
        let bundle = Bundle { files: vec![file] };
        let layer = Digest::from_bytes(*blake3::hash(&bundle.canonical_bytes()).as_bytes());
        store.layers().seal_bundle(&layer, &bundle, &*store.blobs()).await.expect("seal");
        acknowledge("layer", &layer.to_string());
    }
}

/// One write, so that a kill cuts between lines or ends the last one short.
fn acknowledge(kind: &str, name: &str) {
    std::io::stdout().write_all(format!("{MARK}{kind} {name}\n").as_bytes()).expect("the parent reads");
}

pub(crate) async fn acknowledged_writes_survive_kill_9() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        // From the first writes to a warm store with a checkpoint behind it.
        acknowledged.extend(run_and_kill(dir.path(), 100 + round * 150));
    }
    let store = Store::open(&config(dir.path())).expect("open after the last kill");
    store.check().await.expect("the databases are sound");
    let items = leased_items(&store).await;
    for line in &acknowledged {
        assert!(is_there(&store, &items, line).await, "lost after kill -9: {line}");
    }
    assert!(acknowledged.len() > ROUNDS * 100, "only {} writes were tried", acknowledged.len());
    let drafts = std::fs::read_dir(dir.path().join("blobs/.draft")).expect("list").count();
    assert_eq!(drafts, 0, "drafts of killed servers were not swept");
    let layers = std::fs::read_dir(dir.path().join("layers")).expect("list");
    let swept = layers.flatten().all(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    assert!(swept, "drafts of layers were not swept");
}

/// Starts a writer, kills it after some acknowledgements, and returns all that arrived whole.
fn run_and_kill(dir: &Path, after: usize) -> Vec<String> {
    let mut child = Role::Writer.command(dir).stdout(Stdio::piped()).spawn().expect("the writer starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).split(b'\n');
    let mut acknowledged = Vec::new();
    let mut killed = false;
    // What was written before the kill stays readable after it.
    while let Some(Ok(line)) = lines.next() {
        if let Some(name) = String::from_utf8_lossy(&line).strip_prefix(MARK) {
            acknowledged.push(name.to_owned());
        }
        if acknowledged.len() >= after && !killed {
            child.kill().expect("kill -9");
            killed = true;
        }
    }
    assert!(killed, "the writer ended by itself after {} writes", acknowledged.len());
    child.wait().expect("the writer is gone");
    acknowledged
}

async fn leased_items(store: &Store) -> std::collections::HashSet<String> {
    let ttl = std::time::Duration::from_secs(60);
    let (project, function) = owner();
    let leases = store.queue().lease("test", &[everything(project, function)], ttl, EPOCH).await.expect("lease");
    leases.iter().map(|lease| lease.record.id.to_string()).collect()
}

async fn is_there(store: &Store, items: &std::collections::HashSet<String>, line: &str) -> bool {
    let (project, _) = owner();
    let (kind, name) = line.split_once(' ').expect("kind and name");
    match kind {
        "entry" => {
            let key = Key::new(project, Collection::Functions, name);
            store.registry().get(&key).await.expect("get").is_some_and(|entry| entry.value == *name)
        }
        "item" => items.contains(name),
        "run" => store.history().run(project, name.parse().expect("a run id")).await.expect("run").is_some(),
        // Reading checks the hash.
        "blob" => store.blobs().get(&name.parse().expect("a digest")).await.is_ok(),
        "layer" => store.layers().find(&name.parse().expect("a digest")).is_some_and(|path| path.join("a/b").is_file()),
        other => panic!("an acknowledgement of {other}"),
    }
}
