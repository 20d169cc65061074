//! A data directory of an older version: what waits and what is kept is counted when it is opened.

use faas_ports::{ByteBounds, Claim, ClaimQuota, ClaimRequest, Claimed, NameBounds, QueueDepth};
use faas_store::{Store, StoreConfig};
use faas_testkit::fixture::{at, everything, finish, fresh, queued_run};
use faas_types::{Completion, Digest, FunctionId, ProjectId, RunId};
use rusqlite::{Connection, params};

const BEFORE: [&str; 7] = [
    include_str!("../src/schema/faas_1.sql"),
    include_str!("../src/schema/faas_2.sql"),
    include_str!("../src/schema/faas_3.sql"),
    include_str!("../src/schema/faas_4.sql"),
    include_str!("../src/schema/faas_5.sql"),
    include_str!("../src/schema/faas_6.sql"),
    include_str!("../src/schema/faas_7.sql"),
];

fn blob<K: faas_types::IdKind>(id: faas_types::Id<K>) -> [u8; 16] {
    id.as_u128().to_be_bytes()
}

/// The database as the version before wrote it: one run that waits, and the inputs of three that have ended.
fn old_database(path: &std::path::Path, project: ProjectId, function: FunctionId) -> Vec<RunId> {
    let database = Connection::open(path).expect("open");
    for schema in BEFORE {
        database.execute_batch(schema).expect("an old schema");
    }
    database.execute_batch("PRAGMA user_version = 7").expect("its number");
    let completion = Completion::new(Some("https://example.com/".to_owned()), false, 0);
    let mut waiting = queued_run(project, function, at(0));
    waiting.completion = completion;
    let record = serde_json::to_string(&waiting).expect("JSON");
    let queue = "INSERT INTO queue (project, run, function, version, state, stage, due_at, priority, record)
                 VALUES (?1, ?2, ?3, 1, 0, 1, 0, 0, ?4)";
    database.execute(queue, params![blob(project), blob(waiting.id), blob(function), record]).expect("a queued run");
    let runs: Vec<RunId> = [waiting.id, fresh(), fresh(), fresh()].into();
    for run in &runs {
        let input = "INSERT INTO inputs (project, run, input) VALUES (?1, ?2, zeroblob(1000))";
        database.execute(input, params![blob(project), blob(*run)]).expect("an input");
    }
    for run in &runs[1..3] {
        let ended = "INSERT INTO runs (project, id, function, version, state, trigger, ended, cold, record)
                     VALUES (?1, ?2, ?3, 1, 2, 'http', 1, 0, '{}')";
        database.execute(ended, params![blob(project), blob(*run), blob(function)]).expect("an ended run");
    }
    let letter = "INSERT INTO dead_letters (project, run, function, died_at, reason) VALUES (?1, ?2, ?3, 0, 'why')";
    database.execute(letter, params![blob(project), blob(runs[2]), blob(function)]).expect("a dead letter");
    let claim = "INSERT INTO claims (project, function, key, run, fingerprint, expires_at, calling, reply)
                 VALUES (?1, ?2, 'k', ?3, zeroblob(32), 1 << 50, 0, zeroblob(10))";
    database.execute(claim, params![blob(project), blob(function), blob(runs[1])]).expect("a name");
    let cause = "INSERT INTO claims (project, function, key, run, fingerprint, expires_at, calling)
                 VALUES (?1, ?2, char(1) || 'trigger:00ff', ?3, zeroblob(32), 1 << 50, 0)";
    database.execute(cause, params![blob(project), blob(function), blob(runs[2])]).expect("a cause");
    runs
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_version_kept_is_counted() {
    let dir = tempfile::tempdir().expect("temp dir");
    let config = StoreConfig { low_water: 0, ballast: 0, ..StoreConfig::new(dir.path().join("data")) };
    Store::open(&config).expect("a new store").close();
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let path = config.dir.join("faas.db");
    for file in ["faas.db", "faas.db-wal", "faas.db-shm"] {
        let _ = std::fs::remove_file(config.dir.join(file));
    }
    let runs = old_database(&path, project, function);

    let store = Store::open(&config).expect("an old store");
    let (waiting, leased, bytes) = (1, 0, 2_024);
    let depth = QueueDepth { project, function, waiting, leased, bytes, keyless: 0, keyless_bytes: 0, reserved: 4_096 };
    assert_eq!(store.queue().depths().await.expect("depths"), [depth]);

    // One of the two names that it held is a caller's.
    let quota = Some(ClaimQuota::Caller { all: NameBounds { function: 2, project: 2 }, keyless: None });
    for (key, outcome) in [("k2", Claimed::Yours), ("k3", Claimed::TooMany)] {
        let claim = Claim { key: key.into(), fingerprint: Digest::from_bytes([1; 32]), expires_at: at(1), quota };
        let request = ClaimRequest { project, function, claim, run: fresh(), now: at(0) };
        assert_eq!(store.claims().claim(request).await.expect("claim"), outcome, "{key}");
    }

    let wants = [everything(project, function)];
    let ttl = std::time::Duration::from_secs(1);
    let lease = store.queue().lease("test", &wants, ttl, at(0)).await.expect("lease").remove(0);
    let kept = ByteBounds { function: 5_000, project: 5_000 };
    store.queue().settle(vec![finish(&lease)], kept).await.expect("settle");
    let mut left = Vec::new();
    for run in &runs {
        left.push(store.dead_letters().input(project, *run).await.expect("input").is_some());
    }
    // Of four inputs with 2,024 bytes each two have room; that of the dead letter stays longest.
    assert_eq!(left.iter().filter(|kept| **kept).count(), 2);
    assert!(left[2], "the dead letter went first");
    store.close();
}
