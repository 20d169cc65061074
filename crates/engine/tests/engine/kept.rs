//! What callers can make the engine keep.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_engine::{CallRequest, EngineSettings, Later, Quotas};
use faas_ports::ByteBounds;
use faas_testkit::MemoryBlobs;
use faas_types::{Code, TriggerKind, limits};

use crate::house::{House, ports_over, quick, scaling};

const LARGE: usize = limits::INPUT_INLINE_MAX + 1;

fn request(size: usize) -> CallRequest {
    CallRequest {
        trigger: TriggerKind::Http,
        trigger_name: None,
        method: "POST".into(),
        path: "/".into(),
        query: String::new(),
        headers: Vec::new(),
        body: vec![7; size].into(),
    }
}

/// A house with blobs that can be counted, and a function whose runs wait.
async fn waiting(settings: EngineSettings) -> (House, Arc<MemoryBlobs>, usize) {
    let blobs = Arc::new(MemoryBlobs::default());
    let house = House::over(ports_over(Arc::clone(&blobs) as _), settings).await;
    house.deploy("held", scaling(1, 1)).await.unwrap();
    house.engine.pause(&house.route("held").await.entry, true).await.unwrap();
    let stored = blobs.count();
    (house, blobs, stored)
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still not so: {what}");
}

#[tokio::test]
async fn a_body_goes_with_the_caller_who_went_away() {
    let (house, blobs, before) = waiting(quick()).await;
    let route = house.route("held").await;
    // Polled once, so that the body is on its way, and given up then.
    let accepting = house.engine.accept(route, request(LARGE), Later::default());
    assert!(futures_util::future::FutureExt::now_or_never(accepting).is_none());
    until("its body is gone", || blobs.count() == before).await;
    until("its place is free", || house.engine.waiting_bytes() == 0).await;
}

#[tokio::test]
async fn a_repeated_request_leaves_no_second_body() {
    let (house, blobs, before) = waiting(quick()).await;
    let later = || Later { idempotency_key: Some("k".into()), ..Later::default() };
    for repeated in [false, true, true] {
        let accepted = house.engine.accept(house.route("held").await, request(LARGE), later()).await.unwrap();
        assert_eq!(accepted.repeated, repeated);
    }
    until("one body is left", || blobs.count() == before + 1).await;
    until("one run is counted", || house.engine.waiting_bytes() < 2 * LARGE as u64).await;
}

#[tokio::test]
async fn what_is_refused_stores_nothing_and_a_restart_counts_what_waits() {
    let waiting_bytes = ByteBounds { function: 3 * LARGE as u64, project: u64::MAX };
    let quotas = Quotas { waiting: waiting_bytes, ..Quotas::default() };
    let settings = EngineSettings { quotas, ..quick() };
    let (house, blobs, before) = waiting(settings.clone()).await;
    let keyless = || Later { keyless: true, ..Later::default() };
    house.engine.accept(house.route("held").await, request(LARGE), keyless()).await.unwrap();
    let fault = house.engine.accept(house.route("held").await, request(LARGE), keyless()).await.unwrap_err();
    assert_eq!((fault.code, fault.retry_after), (Code::RateLimited, Some(5)));
    assert_eq!(blobs.count(), before + 1);
    let held = house.engine.waiting_bytes();
    let house = House::over(house.ports.clone(), settings).await;
    assert_eq!(house.engine.waiting_bytes(), held);
    house.engine.accept(house.route("held").await, request(LARGE), keyless()).await.unwrap_err();
    house.engine.accept(house.route("held").await, request(LARGE), Later::default()).await.unwrap();
    let run = house.engine.accept(house.route("held").await, request(0), Later::default()).await.unwrap().run;
    house.engine.cancel(house.engine.default_project(), run).await.unwrap();
    assert!(house.engine.waiting_bytes() < held * 2 + 10);
}

#[tokio::test]
async fn an_answer_that_made_room_is_not_given_again_and_nothing_runs_twice() {
    let answers = ByteBounds { function: 10, project: 100 };
    let quotas = Quotas { answers, ..Quotas::default() };
    let house = House::with(EngineSettings { quotas, ..quick() }).await;
    house.deploy("hello", scaling(1, 1)).await.unwrap();
    let once = async |key: &str| {
        let route = house.route("hello").await;
        house.engine.once(&route, key.to_owned(), &request(1), false).await
    };
    for key in ["a", "b"] {
        let faas_engine::Once::First(holder) = once(key).await.unwrap() else { panic!("{key} is new") };
        holder.keep(Bytes::from_static(b"8 bytes.")).await;
    }
    let fault = once("a").await.err().unwrap();
    assert_eq!(fault.code, Code::Conflict);
    assert!(fault.message.contains("will not run again"), "{fault}");
    assert!(matches!(once("b").await.unwrap(), faas_engine::Once::Again(reply) if reply == "8 bytes."));
}
