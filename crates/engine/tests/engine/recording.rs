//! What is recorded of calls, and what calls notice of it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use async_trait::async_trait;
use faas_engine::Ports;
use faas_ports::{Expired, Expiry, LogPage, LogQuery, PortResult, RunHistory, RunPage, RunQuery};
use faas_types::{LogLine, ProjectId, RunId, RunRecord};
use parking_lot::Mutex;

use crate::house::{House, ports_over, scaling};

/// A history that needs its caller's thread for as long as a test wants.
struct Laborious {
    inner: Arc<dyn RunHistory>,
    begun: tokio::sync::mpsc::UnboundedSender<()>,
    go_on: Mutex<Receiver<()>>,
}

#[async_trait]
impl RunHistory for Laborious {
    async fn record(&self, runs: Vec<RunRecord>) -> PortResult<()> {
        let _ = self.begun.send(());
        // At last it goes on in any case, so that a test fails and does not hang.
        let _ = self.go_on.lock().recv_timeout(Duration::from_secs(5));
        self.inner.record(runs).await
    }

    async fn run(&self, project: ProjectId, id: RunId) -> PortResult<Option<RunRecord>> {
        self.inner.run(project, id).await
    }

    async fn runs(&self, query: &RunQuery) -> PortResult<RunPage> {
        self.inner.runs(query).await
    }

    async fn append_logs(&self, lines: Vec<LogLine>) -> PortResult<()> {
        self.inner.append_logs(lines).await
    }

    async fn logs(&self, query: &LogQuery) -> PortResult<LogPage> {
        self.inner.logs(query).await
    }

    async fn expire(&self, expiry: &Expiry) -> PortResult<Expired> {
        self.inner.expire(expiry).await
    }
}

fn laborious() -> (Ports, tokio::sync::mpsc::UnboundedReceiver<()>, Sender<()>) {
    let ports = ports_over(Arc::new(faas_testkit::MemoryBlobs::default()));
    let (begun, has_begun) = tokio::sync::mpsc::unbounded_channel();
    let (release, go_on) = channel();
    let history = Laborious { inner: Arc::clone(&ports.history), begun, go_on: Mutex::new(go_on) };
    (Ports { history: Arc::new(history), ..ports }, has_begun, release)
}

/// On one thread, which the batch would hold.
#[tokio::test]
async fn calls_are_answered_while_records_are_encoded_and_stored() {
    let (ports, mut has_begun, release) = laborious();
    let house = House::of(ports).await;
    house.deploy("busy", scaling(1, 1)).await.unwrap();
    let first = house.call("busy", "/").await.unwrap();
    has_begun.recv().await.unwrap();
    let began = std::time::Instant::now();
    for _ in 0..100 {
        house.call("busy", "/").await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(4), "the batch held the thread that answers");
    for _ in 0..10 {
        let _ = release.send(());
    }
    assert_eq!(house.run(first.run).await.id, first.run);
    house.engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn what_was_recorded_is_stored_before_the_engine_has_stopped() {
    let house = House::open().await;
    house.deploy("last", scaling(1, 1)).await.unwrap();
    let call = house.call("last", "/").await.unwrap();
    house.engine.stop(Duration::from_secs(1)).await;
    let project = house.engine.default_project();
    assert!(house.ports.history.run(project, call.run).await.unwrap().is_some());
}
