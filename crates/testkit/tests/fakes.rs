//! The fakes pass the suite of each port.

use std::sync::Arc;

use bytes::Bytes;
use faas_ports::{Blobs, PortError};
use faas_testkit::{
    MemoryBlobs, MemoryEvents, MemoryHistory, MemoryLayers, MemoryQueue, MemoryRegistry, MemoryVault, suite,
};

#[tokio::test]
async fn registry() {
    suite::registry(&MemoryRegistry::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watch() {
    suite::watch(Arc::new(MemoryRegistry::default())).await;
}

#[tokio::test]
async fn lagged_watch() {
    suite::lagged_watch(&MemoryRegistry::new(1500), 1500).await;
}

#[tokio::test]
async fn history() {
    suite::history(&MemoryHistory::default()).await;
}

#[tokio::test]
async fn logs() {
    suite::logs(&MemoryHistory::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queue() {
    let history = Arc::new(MemoryHistory::default());
    suite::queue(Arc::new(MemoryQueue::new(Arc::clone(&history))), history).await;
}

#[tokio::test]
async fn completion() {
    let history = Arc::new(MemoryHistory::default());
    let queue = Arc::new(MemoryQueue::new(Arc::clone(&history)));
    suite::completion(Arc::clone(&queue) as _, queue, history).await;
}

#[tokio::test]
async fn dead_letters() {
    let queue = MemoryQueue::default();
    suite::dead_letters(&queue, &queue).await;
    suite::kept_inputs(&queue, &queue).await;
}

#[tokio::test]
async fn claims() {
    let queue = Arc::new(MemoryQueue::default());
    suite::claims(Arc::clone(&queue) as _, queue).await;
}

#[tokio::test]
async fn topics() {
    let queue = MemoryQueue::default();
    suite::topics(&queue, &queue).await;
}

#[tokio::test]
async fn events() {
    suite::events(&MemoryEvents::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs() {
    suite::blobs(Arc::new(MemoryBlobs::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn layers() {
    suite::layers(Arc::new(MemoryLayers::new().expect("temp dir")), Arc::new(MemoryBlobs::default())).await;
}

#[tokio::test]
async fn a_damaged_blob_is_noticed() {
    let blobs = MemoryBlobs::default();
    let digest = blobs.put(Bytes::from_static(b"x")).await.expect("put");
    blobs.corrupt(&digest);
    assert!(matches!(blobs.get(&digest).await, Err(PortError::Corrupt { .. })));
}

#[test]
fn vault() {
    suite::vault(&MemoryVault::default());
}
