//! What callers can make the engine keep.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_engine::{CallRequest, EngineSettings, HttpRequest, KeyClaim, Quotas, RunOptions, StoredReply};
use faas_ports::{
    ByteBounds, Enqueued, FollowUps, Lease, LeaseMark, NewItem, PortError, PortResult, QueueDepth, QueueOutlook,
    RunQuery, RunQueue, Settled, Settlement, Want, Withdrawn,
};
use faas_testkit::{ManualClock, MemoryBlobs};
use faas_types::{Code, Retention, RunRecord, RunState, Span, Timestamp, TriggerKind, limits};
use parking_lot::Mutex;

use crate::house::{House, ports_over, quick, scaling, until};

const LARGE: usize = limits::INPUT_INLINE_MAX + 1;

fn request(size: usize) -> CallRequest<Bytes> {
    CallRequest::http(
        TriggerKind::Http,
        HttpRequest { method: "POST".into(), path: "/".into(), ..HttpRequest::default() },
        vec![7; size].into(),
    )
}

/// A house with blobs that can be counted, and a function whose runs wait.
async fn waiting(settings: EngineSettings) -> (House, Arc<MemoryBlobs>, usize) {
    let blobs = Arc::new(MemoryBlobs::default());
    let house = House::over(ports_over(Arc::clone(&blobs) as _), settings).await;
    house.deploy("held", scaling(1, 1)).await.unwrap();
    house.engine.functions.pause(&house.route("held").await.entry, true).await.unwrap();
    let stored = blobs.count();
    (house, blobs, stored)
}

#[tokio::test]
async fn a_body_goes_with_the_caller_who_went_away() {
    let (house, blobs, before) = waiting(quick()).await;
    let route = house.route("held").await;
    // Polled once, so that the body is on its way, and given up then.
    let accepting = house.engine.runs.accept(route, request(LARGE), RunOptions::default());
    assert!(futures_util::future::FutureExt::now_or_never(accepting).is_none());
    until("its body is gone", || blobs.count() == before).await;
    until("its place is free", || house.engine.runs.waiting_bytes() == 0).await;
}

/// A queue whose next commit is answered with an error, after it is stored where that is in doubt.
struct DoubtfulQueue {
    inner: Arc<dyn RunQueue>,
    next: Mutex<Option<PortError>>,
}

#[async_trait]
impl RunQueue for DoubtfulQueue {
    async fn enqueue(&self, items: Vec<NewItem>) -> PortResult<Vec<Enqueued>> {
        let next = self.next.lock().take();
        match next {
            None => self.inner.enqueue(items).await,
            Some(error) if error.is_in_doubt() => self.inner.enqueue(items).await.and(Err(error)),
            Some(error) => Err(error),
        }
    }

    async fn outlook(&self, now: Timestamp) -> PortResult<QueueOutlook> {
        self.inner.outlook(now).await
    }

    async fn lease(&self, worker: &str, wants: &[Want], ttl: Duration, now: Timestamp) -> PortResult<Vec<Lease>> {
        self.inner.lease(worker, wants, ttl, now).await
    }

    async fn extend(&self, leases: &[LeaseMark], expires_at: Timestamp) -> PortResult<Vec<bool>> {
        self.inner.extend(leases, expires_at).await
    }

    async fn settle(&self, settlements: Vec<Settlement>, kept: ByteBounds) -> PortResult<Settled> {
        self.inner.settle(settlements, kept).await
    }

    async fn withdraw(
        &self,
        record: RunRecord,
        follow_ups: FollowUps,
        kept: ByteBounds,
    ) -> PortResult<Option<Withdrawn>> {
        self.inner.withdraw(record, follow_ups, kept).await
    }

    async fn depths(&self) -> PortResult<Vec<QueueDepth>> {
        self.inner.depths().await
    }
}

#[tokio::test]
async fn a_body_stays_where_it_is_not_known_whether_its_run_is_stored() {
    let blobs = Arc::new(MemoryBlobs::default());
    let ports = ports_over(Arc::clone(&blobs) as _);
    let queue = Arc::new(DoubtfulQueue { inner: Arc::clone(&ports.queue), next: Mutex::default() });
    let house = House::over(faas_engine::Ports { queue: Arc::clone(&queue) as _, ..ports }, quick()).await;
    house.deploy("held", scaling(1, 1)).await.unwrap();
    house.engine.functions.pause(&house.route("held").await.entry, true).await.unwrap();
    let before = blobs.count();
    let refused = async |error| {
        *queue.next.lock() = Some(error);
        house.engine.runs.accept(house.route("held").await, request(LARGE), RunOptions::default()).await.unwrap_err();
    };
    refused(PortError::StorageFull).await;
    until("what is refused leaves no body", || blobs.count() == before).await;
    refused(PortError::failed("cannot write to the database", "the writer ended")).await;
    assert_eq!(blobs.count(), before + 1, "the body of a run that may be stored is gone");
    house.engine.functions.pause(&house.route("held").await.entry, false).await.unwrap();
    let query = RunQuery::newest(house.engine.default_project(), 10);
    for _ in 0..1_000 {
        let runs = house.ports.history.runs(&query).await.unwrap().runs;
        if matches!(&runs[..], [run] if run.state() == RunState::Succeeded) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the run that was stored did not succeed with its body");
}

#[tokio::test]
async fn a_repeated_request_leaves_no_second_body() {
    let (house, blobs, before) = waiting(quick()).await;
    let later = || RunOptions { idempotency_key: Some("k".into()), ..RunOptions::default() };
    for repeated in [false, true, true] {
        let accepted = house.engine.runs.accept(house.route("held").await, request(LARGE), later()).await.unwrap();
        assert_eq!(accepted.repeated, repeated);
    }
    until("one body is left", || blobs.count() == before + 1).await;
    until("one run is counted", || house.engine.runs.waiting_bytes() < 2 * LARGE as u64).await;
}

#[tokio::test]
async fn what_is_refused_stores_nothing_and_a_restart_counts_what_waits() {
    let waiting_bytes = ByteBounds { function: 3 * LARGE as u64, project: u64::MAX };
    let quotas = Quotas { waiting: waiting_bytes, ..Quotas::default() };
    let settings = EngineSettings { quotas, ..quick() };
    let (house, blobs, before) = waiting(settings.clone()).await;
    let keyless = || RunOptions { keyless: true, ..RunOptions::default() };
    house.engine.runs.accept(house.route("held").await, request(LARGE), keyless()).await.unwrap();
    let fault = house.engine.runs.accept(house.route("held").await, request(LARGE), keyless()).await.unwrap_err();
    assert_eq!((fault.code, fault.retry_after), (Code::RateLimited, Some(5)));
    assert_eq!(blobs.count(), before + 1);
    let held = house.engine.runs.waiting_bytes();
    let house = House::over(house.ports.clone(), settings).await;
    assert_eq!(house.engine.runs.waiting_bytes(), held);
    house.engine.runs.accept(house.route("held").await, request(LARGE), keyless()).await.unwrap_err();
    house.engine.runs.accept(house.route("held").await, request(LARGE), RunOptions::default()).await.unwrap();
    let run = house.engine.runs.accept(house.route("held").await, request(0), RunOptions::default()).await.unwrap().run;
    house.engine.runs.cancel(house.engine.default_project(), run).await.unwrap();
    assert!(house.engine.runs.waiting_bytes() < held * 2 + 10);
}

#[tokio::test]
async fn inputs_of_cancelled_runs_are_trimmed_like_others() {
    let inputs = ByteBounds { function: 2 * LARGE as u64, project: u64::MAX };
    let settings = EngineSettings { quotas: Quotas { inputs, ..Quotas::default() }, ..quick() };
    let (house, blobs, before) = waiting(settings).await;
    for _ in 0..4 {
        let accepted =
            house.engine.runs.accept(house.route("held").await, request(LARGE), RunOptions::default()).await.unwrap();
        house.engine.runs.cancel(house.engine.default_project(), accepted.run).await.unwrap();
    }
    until("one body has room", || blobs.count() == before + 1).await;
}

#[tokio::test]
async fn inputs_are_kept_no_longer_than_the_project_keeps_runs() {
    let clock = Arc::new(ManualClock::default());
    let house = House::at(Arc::clone(&clock) as _).await;
    house.deploy("hello", scaling(1, 1)).await.unwrap();
    let project = house.engine.default_project();
    let run =
        house.engine.runs.accept(house.route("hello").await, request(9), RunOptions::default()).await.unwrap().run;
    house.engine.runs.await_run(project, run, Duration::from_secs(10)).await.unwrap();
    clock.advance(Duration::from_secs(2 * 3_600));
    house.engine.runs.input(project, run).await.expect("it is younger than 14 days");
    let hour = Span::from_secs(3_600);
    let retention = Retention { runs: hour, results: hour, ..Retention::default() };
    house.engine.runs.change_retention(project, |_, _| Ok(retention)).await.unwrap();
    for _ in 0..1_000 {
        if house.engine.runs.input(project, run).await.is_err_and(|fault| fault.code == Code::NotFound) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the input outlives its run");
}

#[tokio::test]
async fn a_run_larger_than_all_that_may_wait_is_refused_for_good() {
    let waiting_bytes = ByteBounds { function: LARGE as u64, project: u64::MAX };
    let quotas = Quotas { waiting: waiting_bytes, ..Quotas::default() };
    let (house, blobs, before) = waiting(EngineSettings { quotas, ..quick() }).await;
    let fault =
        house.engine.runs.accept(house.route("held").await, request(LARGE), RunOptions::default()).await.unwrap_err();
    assert_eq!((fault.code, fault.retry_after), (Code::PayloadTooLarge, None));
    assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains("`background.waiting_bytes`")), "{fault}");
    assert_eq!(blobs.count(), before);
}

#[tokio::test]
async fn an_answer_that_made_room_is_not_given_again_and_nothing_runs_twice() {
    let reply = StoredReply { status: 200, headers: Vec::new(), body: Bytes::from_static(b"8 bytes.") };
    // Of the two replies, each 8 bytes and its head, one fits.
    let answers = ByteBounds { function: 20, project: 100 };
    let quotas = Quotas { answers, ..Quotas::default() };
    let house = House::with(EngineSettings { quotas, ..quick() }).await;
    house.deploy("hello", scaling(1, 1)).await.unwrap();
    let once = async |key: &str| {
        let route = house.route("hello").await;
        house.engine.runs.once(&route, key.to_owned(), &request(1), false).await
    };
    for key in ["a", "b"] {
        let KeyClaim::First { holder, .. } = once(key).await.unwrap() else { panic!("{key} is new") };
        holder.store(&reply).await;
    }
    let fault = once("a").await.err().unwrap();
    assert_eq!(fault.code, Code::Conflict);
    assert!(fault.message.contains("will not run again"), "{fault}");
    assert!(matches!(once("b").await.unwrap(), KeyClaim::Again(again) if again == reply));
}
