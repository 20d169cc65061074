//! The embedded adapters pass the suite of each port.

use faas_store::{Store, StoreConfig};
use faas_testkit::suite;
use tempfile::TempDir;

/// A store in its own directory.
fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().expect("temp dir");
    let config = StoreConfig { low_water: 0, ballast: 1 << 20, ..StoreConfig::new(dir.path().join("data")) };
    let store = Store::open(&config).expect("open");
    (dir, store)
}

#[tokio::test]
async fn registry() {
    let (_dir, store) = store();
    suite::registry(&*store.registry()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watch() {
    let (_dir, store) = store();
    suite::watch(store.registry()).await;
}

#[tokio::test]
async fn lagged_watch() {
    let dir = tempfile::tempdir().expect("temp dir");
    let config = StoreConfig { low_water: 0, lag: 1500, ..StoreConfig::new(dir.path()) };
    suite::lagged_watch(&*Store::open(&config).expect("open").registry(), 1500).await;
}

#[tokio::test]
async fn history() {
    let (_dir, store) = store();
    suite::history(&*store.history()).await;
}

#[tokio::test]
async fn logs() {
    let (_dir, store) = store();
    suite::logs(&*store.history()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs() {
    let (_dir, store) = store();
    suite::blobs(store.blobs()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn layers() {
    let (_dir, store) = store();
    suite::layers(store.layers(), store.blobs()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queue() {
    let (_dir, store) = store();
    suite::queue(store.queue(), store.history()).await;
}

#[tokio::test]
async fn completion() {
    let (_dir, store) = store();
    suite::completion(store.queue(), store.callbacks(), store.history()).await;
}

#[tokio::test]
async fn dead_letters() {
    let (_dir, store) = store();
    suite::dead_letters(&*store.dead_letters(), &*store.queue()).await;
    suite::kept_inputs(&*store.dead_letters(), &*store.queue()).await;
}

#[tokio::test]
async fn claims() {
    let (_dir, store) = store();
    suite::claims(store.claims(), store.queue()).await;
}

#[tokio::test]
async fn topics() {
    let (_dir, store) = store();
    suite::topics(&*store.topics(), &*store.queue()).await;
}

#[tokio::test]
async fn events() {
    let (_dir, store) = store();
    suite::events(&*store.events()).await;
}

#[test]
fn vault() {
    let (_dir, store) = store();
    suite::vault(&*store.vault());
}
