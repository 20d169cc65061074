//! One server at a time has a store, and one that was closed opens again.

use std::path::Path;

use faas_store::{Store, StoreConfig, StoreError};
use faas_testkit::fixture::{fresh, new_item};

fn config(dir: &Path) -> StoreConfig {
    StoreConfig { low_water: 0, ballast: 1 << 20, ..StoreConfig::new(dir) }
}

#[tokio::test]
async fn a_second_server_is_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    let first = Store::open(&config(dir.path())).expect("open");
    let refused = Store::open(&config(dir.path())).expect_err("a second store opened");
    assert!(matches!(&refused, StoreError::InUse { pid, .. } if *pid == std::process::id().to_string()), "{refused}");
    let registry = first.registry();
    drop(first);
    Store::open(&config(dir.path())).expect_err("opened while an adapter is still in use");
    drop(registry);
    Store::open(&config(dir.path())).expect("open after the last adapter has gone");
}

#[tokio::test]
async fn a_closed_store_refuses_and_opens_again() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (project, function) = (fresh(), fresh());
    let store = Store::open(&config(dir.path())).expect("open");
    let item = new_item(project, function);
    store.queue().enqueue(vec![item]).await.expect("enqueue");
    store.close();
    let refused = store.queue().enqueue(vec![new_item(project, function)]).await;
    assert!(matches!(refused, Err(faas_ports::PortError::Closed(_))), "{refused:?}");
    drop(store);
    let wal = std::fs::metadata(dir.path().join("faas.db-wal")).map_or(0, |found| found.len());
    assert_eq!(wal, 0, "a closed store left a write-ahead log to recover");
    let store = Store::open(&config(dir.path())).expect("open again");
    let depths = store.queue().depths().await.expect("depths");
    assert_eq!(depths.iter().map(|depth| (depth.project, depth.waiting)).collect::<Vec<_>>(), [(project, 1)]);
}
