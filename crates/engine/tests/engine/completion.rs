//! What follows the end of runs: callbacks and destinations.

use std::time::Duration;

use bytes::Bytes;
use faas_engine::{CallRequest, CallbackPolicy, EngineSettings, HttpRequest, Quotas, RunOptions};
use faas_ports::OutboundError;
use faas_signing::{Delivery, WebhookSecret, verify};
use faas_types::{
    CallbackState, Code, Destination, Fault, FunctionSettings, InvocationMode, RetryPolicy, RunId, RunRecord, RunState,
    TriggerKind, WebhookScheme, limits,
};
use serde_json::Value;

use crate::house::{House, parse};

const URL: &str = "https://example.com/done?token=1";

fn quick() -> EngineSettings {
    let callbacks = CallbackPolicy { attempts_max: 3, backoff: Duration::from_millis(10) };
    EngineSettings { tend_every: Duration::from_millis(10), callbacks, ..EngineSettings::default() }
}

fn once(settings: &mut FunctionSettings) {
    settings.background.retry = RetryPolicy { max_attempts: 1, ..RetryPolicy::default() };
}

impl House {
    async fn later(&self, name: &str, path: &str, later: RunOptions) -> RunId {
        self.try_later(name, path, later).await.expect("accepted")
    }

    async fn try_later(&self, name: &str, path: &str, later: RunOptions) -> Result<RunId, Fault> {
        let request = CallRequest::http(
            TriggerKind::Http,
            HttpRequest { method: "POST".into(), path: path.into(), ..HttpRequest::default() },
            Bytes::new(),
        );
        Ok(self.engine.runs.accept(self.route(name).await, request, later).await?.run)
    }

    async fn ended(&self, run: RunId) -> RunRecord {
        let project = self.engine.default_project();
        self.engine.runs.await_run(project, run, Duration::from_secs(10)).await.expect("the run")
    }

    /// The run with its callback in a state.
    async fn called_back(&self, run: RunId, state: CallbackState) -> RunRecord {
        for _ in 0..1_000 {
            let record = self.run(run).await;
            if callback_of(&record).state == state {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the callback is {:?}", callback_of(&self.run(run).await));
    }
}

fn callback_of(run: &RunRecord) -> &faas_types::Callback {
    run.completion.as_ref().and_then(|completion| completion.callback.as_ref()).expect("a callback")
}

fn destination_of(run: &RunRecord) -> &Destination {
    run.completion.as_ref().and_then(|completion| completion.destination.as_ref()).expect("a destination")
}

fn call_back() -> RunOptions {
    RunOptions { callback: Some(URL.to_owned()), details: true, ..RunOptions::default() }
}

#[tokio::test]
async fn a_callback_is_signed_and_tells_of_the_run() {
    let house = House::with(quick()).await;
    house.deploy_as("told", once).await.unwrap();
    let project = house.engine.default_project();
    let (secret, _) = house.engine.runs.rotate_signing_secret(project, None).await.unwrap();
    let (newer, secrets) = house.engine.runs.rotate_signing_secret(project, None).await.unwrap();
    assert_eq!(secrets.number(), 2);
    let run = house.later("told", "/raise", call_back()).await;
    let record = house.called_back(run, CallbackState::Delivered).await;
    assert_eq!((record.state(), callback_of(&record).attempts), (RunState::Failed, 1));
    let posted = house.outbound.posted();
    assert_eq!((posted.len(), posted[0].url.as_str()), (1, URL));
    let headers: Vec<_> = posted[0].headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    for text in [secret, newer] {
        let secret = WebhookSecret::read(WebhookScheme::Standard, &text).unwrap();
        let now = house.ports.clock.now();
        let delivery = Delivery { headers: &headers, body: &posted[0].body };
        let verified = verify(WebhookScheme::Standard, &[secret], &delivery, now).unwrap();
        assert_eq!(verified.id, run.to_string(), "either live secret verifies it");
    }
    let body: Value = serde_json::from_slice(&posted[0].body).unwrap();
    assert_eq!((&body["type"], &body["data"]["error"]["code"]), (&"run.failed".into(), &"FN_004".into()));
    assert_eq!(body["data"]["error"]["message"], "ValueError: no");
}

#[tokio::test]
async fn a_stranger_is_not_called_back_with_the_details_of_a_failure() {
    let house = House::with(quick()).await;
    house.deploy_as("told", once).await.unwrap();
    let run = house.later("told", "/raise", RunOptions { details: false, ..call_back() }).await;
    let record = house.called_back(run, CallbackState::Delivered).await;
    assert_eq!(record.message.as_deref(), Some("ValueError: no"), "the record has them");
    let body: Value = serde_json::from_slice(&house.outbound.posted()[0].body).unwrap();
    assert_eq!(body["data"]["error"], serde_json::json!({"code": "FN_004", "message": "runtime error"}));
}

#[tokio::test]
async fn callbacks_are_tried_again_and_given_up_at_last() {
    let house = House::with(quick()).await;
    house.deploy_as("told", once).await.unwrap();
    house.outbound.answer([Ok(500), Err(OutboundError::Failed("nobody".into())), Ok(204)]);
    let run = house.later("told", "/", call_back()).await;
    let record = house.called_back(run, CallbackState::Delivered).await;
    assert_eq!((callback_of(&record).attempts, &callback_of(&record).message), (3, &None));
    let bodies: Vec<_> = house.outbound.posted().into_iter().map(|posted| posted.body).collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]), "the message changed between attempts");
    house.outbound.answer([Ok(500), Ok(500), Ok(503)]);
    let run = house.later("told", "/", call_back()).await;
    let record = house.called_back(run, CallbackState::Abandoned).await;
    assert_eq!(callback_of(&record).message.as_deref(), Some("answered with 503"));
    house.outbound.answer([Err(OutboundError::Refused("inside".into()))]);
    let run = house.later("told", "/", call_back()).await;
    assert_eq!(callback_of(&house.called_back(run, CallbackState::Abandoned).await).attempts, 1);
    let figures = house.engine.runs.completion_metrics().callbacks();
    assert_eq!(figures, [("delivered", 1), ("failed", 4), ("abandoned", 2)]);
}

#[tokio::test]
async fn a_cancelled_run_is_told_of_and_a_bad_url_is_refused() {
    let house = House::with(quick()).await;
    house.deploy_as("told", |settings| settings.background.on_failure = Some(parse("told"))).await.unwrap();
    let later = RunOptions { delay: Duration::from_secs(60), ..call_back() };
    let run = house.later("told", "/", later).await;
    house.engine.runs.cancel(house.engine.default_project(), run).await.unwrap();
    let record = house.called_back(run, CallbackState::Delivered).await;
    assert!(record.completion.unwrap().destination.is_none(), "who cancels sends nothing on");
    let later = RunOptions { callback: Some("http://x".into()), ..RunOptions::default() };
    let route = house.route("told").await;
    let request = CallRequest::http(
        TriggerKind::Http,
        HttpRequest { method: "POST".into(), path: "/".into(), ..HttpRequest::default() },
        Bytes::new(),
    );
    let fault = house.engine.runs.accept(route, request, later).await.err().unwrap();
    assert_eq!(fault.code, Code::BadRequest);
    assert!(fault.message.contains("X-Callback-Url"), "{fault}");
}

#[tokio::test]
async fn destinations_get_a_run_that_knows_its_origin() {
    let house = House::with(quick()).await;
    house.deploy_as("good", once).await.unwrap();
    house.deploy_as("bad", once).await.unwrap();
    let completion = |settings: &mut FunctionSettings| {
        once(settings);
        settings.background.on_success = Some(parse("good"));
        settings.background.on_failure = Some(parse("bad"));
    };
    house.deploy_as("first", completion).await.unwrap();
    for (path, wanted) in [("/", "good"), ("/raise", "bad")] {
        let run = house.later("first", path, RunOptions::default()).await;
        let record = house.ended(run).await;
        let destination = destination_of(&record);
        assert_eq!((destination.function.to_string(), &destination.message), (wanted.to_owned(), &None));
        let next = house.ended(destination.run_id.unwrap()).await;
        assert_eq!(
            (next.origin, next.trigger, next.state()),
            (Some(run), TriggerKind::Destination, RunState::Succeeded)
        );
        let input = house.engine.runs.input(house.engine.default_project(), next.id).await.unwrap();
        let body: Value = serde_json::from_slice(&input.body).unwrap();
        assert_eq!(body["data"]["run_id"], run.to_string());
        assert_eq!(body["data"]["input"], format!("/api/v1/runs/{run}/input"));
    }
    assert_eq!(house.engine.runs.completion_metrics().destinations(), [("sent", 2), ("dropped", 0)]);
    let project = house.engine.default_project();
    let entry = house.engine.catalog().find(project, "good").unwrap();
    assert_eq!(house.engine.runs.backlog_of(entry.record.id), 0, "a run of a destination is counted once");
    house.engine.deployments.delete_function(&entry).await.unwrap();
    let record = house.ended(house.later("first", "/", RunOptions::default()).await).await;
    assert_eq!(destination_of(&record).run_id, None);
    assert!(destination_of(&record).message.as_ref().unwrap().contains("`good`"));
}

#[tokio::test]
async fn circles_end() {
    let house = House::with(quick()).await;
    house.deploy_as("round", |settings| settings.background.on_success = Some(parse("round"))).await.unwrap();
    let mut run = house.later("round", "/", RunOptions::default()).await;
    for _ in 0..limits::HOPS_MAX {
        run = destination_of(&house.ended(run).await).run_id.expect("sent on");
    }
    let last = house.ended(run).await;
    assert_eq!(destination_of(&last).run_id, None);
    assert!(destination_of(&last).message.as_ref().unwrap().starts_with("16 runs"));
}

#[tokio::test]
async fn destinations_are_checked_when_deployed() {
    let house = House::with(quick()).await;
    let fault =
        house.deploy_as("a", |settings| settings.background.on_success = Some(parse("nope"))).await.err().unwrap();
    assert_eq!(fault.code, Code::InvalidConfiguration);
    assert!(fault.message.starts_with("background.on_success: "), "{fault}");
    house.deploy_as("waits", |settings| settings.background.mode = InvocationMode::Sync).await.unwrap();
    let fault =
        house.deploy_as("a", |settings| settings.background.on_failure = Some(parse("waits"))).await.err().unwrap();
    assert!(fault.message.starts_with("background.on_failure: "), "{fault}");
}

#[tokio::test]
async fn callbacks_that_are_not_delivered_are_bounded_also_after_a_restart() {
    let quotas = Quotas { callbacks: 1, ..Quotas::default() };
    let callbacks = CallbackPolicy { attempts_max: 3, backoff: Duration::from_secs(3_600) };
    let settings = EngineSettings { quotas, callbacks, ..quick() };
    let mut house = House::with(settings.clone()).await;
    house.deploy_as("told", once).await.unwrap();
    house.outbound.answer([Ok(204), Err(OutboundError::Failed("nobody".into()))]);
    let run = house.later("told", "/", call_back()).await;
    house.called_back(run, CallbackState::Delivered).await;
    // The count follows the record.
    let run = loop {
        match house.try_later("told", "/", call_back()).await {
            Ok(run) => break run,
            Err(fault) => assert_eq!(fault.code, Code::RateLimited),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let failed = async || callback_of(&house.run(run).await).attempts == 1;
    while !failed().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..2 {
        let fault = house.try_later("told", "/", call_back()).await.err().unwrap();
        assert_eq!((fault.code, fault.retry_after), (Code::RateLimited, Some(60)));
        house.later("told", "/", RunOptions::default()).await;
        house = House::over(house.ports.clone(), settings.clone()).await;
    }
}

#[tokio::test]
async fn runs_that_have_not_ended_count_for_the_bound_on_callbacks() {
    let quotas = Quotas { callbacks: 2 * limits::CALLBACK_RESERVED, ..Quotas::default() };
    let settings = EngineSettings { quotas, ..quick() };
    let house = House::with(settings.clone()).await;
    house.deploy_as("told", once).await.unwrap();
    house.engine.functions.pause(&house.route("told").await.entry, true).await.unwrap();
    let first = house.later("told", "/", call_back()).await;
    house.later("told", "/", call_back()).await;
    let house = House::over(house.ports.clone(), settings).await;
    let fault = house.try_later("told", "/", call_back()).await.err().unwrap();
    assert_eq!((fault.code, fault.retry_after), (Code::RateLimited, Some(60)));
    assert!(fault.hint.is_some_and(|hint| hint.contains("callbacks.waiting_bytes")));
    house.later("told", "/", RunOptions::default()).await;
    house.engine.runs.cancel(house.engine.default_project(), first).await.unwrap();
    house.called_back(first, CallbackState::Delivered).await;
    // The count follows the record.
    while let Err(fault) = house.try_later("told", "/", call_back()).await {
        assert_eq!(fault.code, Code::RateLimited);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
