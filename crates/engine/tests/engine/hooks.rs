//! Webhooks and events: what is let in, and how many runs it makes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_engine::{
    CallRequest, DeliveryOutcome, EngineSettings, HttpRequest, KeyClaim, PublishedEvent, Target, TriggerChange,
    TriggerEntry, WebhookDelivery,
};
use faas_ports::{Clock, RunQuery};
use faas_signing::{WebhookSecret, sign_as};
use faas_testkit::ManualClock;
use faas_types::{
    AliasName, Code, EventTrigger, Fault, FunctionSettings, Redelivery, RunId, Stage, TriggerKind, TriggerSettings,
    WebhookReply, WebhookScheme, WebhookTrigger, limits,
};

use crate::house::{House, parse, scaling};

const SWITCHED_OFF: TriggerChange = TriggerChange { enabled: Some(false), alias: None, settings: None };

const BODY: &[u8] = b"{\"order\": 7}";

struct Door {
    house: House,
    clock: Arc<ManualClock>,
    token: String,
    secret: String,
    scheme: WebhookScheme,
}

impl Door {
    async fn open(scheme: WebhookScheme, respond: WebhookReply, path: &str) -> Self {
        let redelivery = Redelivery::Once;
        Self::open_as(WebhookTrigger { name: parse("door"), scheme, respond, redelivery, path: path.to_owned() }).await
    }

    async fn open_as(hook: WebhookTrigger) -> Self {
        Self::open_with(hook, |_| {}).await
    }

    async fn open_with(hook: WebhookTrigger, change: impl FnOnce(&mut EngineSettings)) -> Self {
        Self::open_at(AliasName::live(), hook, change).await
    }

    async fn open_at(alias: AliasName, hook: WebhookTrigger, change: impl FnOnce(&mut EngineSettings)) -> Self {
        let scheme = hook.scheme;
        let clock = Arc::new(ManualClock::default());
        let house = House::timed(Arc::clone(&clock) as _, change).await;
        let once = |settings: &mut FunctionSettings| {
            settings.scaling = scaling(2, 1);
            settings.background.retry.max_attempts = 1;
        };
        let deployed = house.deploy_to("hooked", Target::Alias(alias.clone()), once).await.unwrap();
        let added = house
            .engine
            .triggers
            .add(&deployed.entry, alias, TriggerSettings::Webhook(hook), None, None)
            .await
            .unwrap();
        let token = house.engine.triggers.webhook_token(&added.0).unwrap().unwrap();
        Self { house, clock, token, secret: added.1.unwrap().text.unwrap(), scheme }
    }

    fn signed(&self, id: &str, body: &[u8]) -> WebhookDelivery {
        self.signed_with(&self.secret, id, body)
    }

    fn signed_with(&self, secret: &str, id: &str, body: &[u8]) -> WebhookDelivery {
        let secret = WebhookSecret::read(self.scheme, secret).unwrap();
        let headers = sign_as(self.scheme, &secret, id, self.clock.now(), body);
        WebhookDelivery { headers, query: String::new(), body: Bytes::copy_from_slice(body) }
    }

    fn entry(&self) -> Arc<TriggerEntry> {
        self.house.engine.triggers.find_webhook(&self.token).unwrap()
    }

    async fn deliver(&self, request: WebhookDelivery) -> Result<DeliveryOutcome, Fault> {
        self.house.engine.triggers.deliver(&self.entry(), request).await.map_err(|failure| failure.fault)
    }

    async fn accepted(&self, request: WebhookDelivery) -> (RunId, bool) {
        match self.deliver(request).await.unwrap() {
            DeliveryOutcome::Accepted { run, repeated } => (run, repeated),
            DeliveryOutcome::Answered(reply) => panic!("{reply:?}"),
        }
    }
}

#[tokio::test]
async fn a_repeated_delivery_makes_no_second_run_in_any_scheme() {
    for scheme in WebhookScheme::ALL {
        let door = Door::open(scheme, WebhookReply::Accepted, "/").await;
        let (first, repeated) = door.accepted(door.signed("msg_1", BODY)).await;
        assert!(!repeated, "{scheme}");
        assert_eq!(door.accepted(door.signed("msg_1", BODY)).await, (first, true), "{scheme}");
        let (second, repeated) = door.accepted(door.signed("msg_2", b"{}")).await;
        assert!(second != first && !repeated, "{scheme}");
        let run = door.house.engine.history().run(door.house.engine.default_project(), first).await.unwrap();
        assert_eq!((run.trigger, run.trigger_name), (TriggerKind::Webhook, Some(parse("door"))));
    }
}

#[tokio::test]
async fn what_is_not_signed_or_not_fresh_is_refused_and_counted() {
    let door = Door::open(WebhookScheme::Standard, WebhookReply::Accepted, "/").await;
    let mut tampered = door.signed("msg_1", BODY);
    tampered.body = Bytes::from_static(b"{\"order\": 8}");
    assert_eq!(door.deliver(tampered).await.err().unwrap().code, Code::Unauthenticated);
    let stale = door.signed("msg_1", BODY);
    door.clock.advance(Duration::from_secs(302));
    assert_eq!(door.deliver(stale).await.err().unwrap().code, Code::Unauthenticated);
    let early = door.signed("msg_1", BODY);
    door.clock.set(faas_types::Timestamp::from_millis(door.clock.now().as_millis() - 302_000));
    assert_eq!(door.deliver(early).await.err().unwrap().code, Code::Unauthenticated);
    let bare = WebhookDelivery { headers: vec![], query: String::new(), body: Bytes::from_static(BODY) };
    assert_eq!(door.deliver(bare).await.err().unwrap().code, Code::Unauthenticated);
    let state = door.house.engine.triggers.state(&door.entry());
    assert_eq!((state.fired, state.refused), (0, 4));
    assert_eq!(door.house.engine.triggers.find_webhook("guessed").err().unwrap().code, Code::NotFound);
    door.house.engine.triggers.change(&door.entry(), SWITCHED_OFF, false).await.unwrap();
    assert_eq!(door.house.engine.triggers.find_webhook(&door.token).err().unwrap().code, Code::NotFound);
}

#[tokio::test]
async fn a_replaced_secret_is_good_for_as_long_as_was_said() {
    let door = Door::open(WebhookScheme::GitHub, WebhookReply::Accepted, "/").await;
    let keep = Some(Duration::from_secs(60));
    let (_, fresh) = door.house.engine.triggers.rotate_secret(&door.entry(), None, keep).await.unwrap();
    let fresh = fresh.text.unwrap();
    door.accepted(door.signed("1", BODY)).await;
    door.accepted(door.signed_with(&fresh, "2", BODY)).await;
    door.clock.advance(Duration::from_secs(60));
    assert_eq!(door.deliver(door.signed("3", BODY)).await.err().unwrap().code, Code::Unauthenticated);
    door.accepted(door.signed_with(&fresh, "4", BODY)).await;
    // Two are live at the most: the third ends the first at once.
    let keep = Some(Duration::from_secs(600));
    let brought = "one that the sender chose".to_owned();
    let (_, shown) = door.house.engine.triggers.rotate_secret(&door.entry(), Some(&brought), keep).await.unwrap();
    assert_eq!(shown.text, None);
    door.house.engine.triggers.rotate_secret(&door.entry(), None, keep).await.unwrap();
    assert_eq!(door.deliver(door.signed_with(&fresh, "5", BODY)).await.err().unwrap().code, Code::Unauthenticated);
    door.accepted(door.signed_with(&brought, "6", BODY)).await;
    let long = Some(limits::SECRET_OVERLAP_MAX + Duration::from_secs(1));
    let refused = door.house.engine.triggers.rotate_secret(&door.entry(), None, long).await.err().unwrap();
    assert_eq!(refused.code, Code::InvalidConfiguration);
    let short = door.house.engine.triggers.rotate_secret(&door.entry(), Some("short"), keep).await.err().unwrap();
    assert_eq!(short.code, Code::InvalidConfiguration);
}

#[tokio::test]
async fn an_answer_is_given_again_for_a_repeated_delivery_and_a_failure_is_not() {
    let door = Door::open(WebhookScheme::Standard, WebhookReply::Answer, "/").await;
    let answered = |answer| match answer {
        DeliveryOutcome::Answered(reply) => reply,
        DeliveryOutcome::Accepted { run, .. } => panic!("{run}"),
    };
    let first = answered(door.deliver(door.signed("msg_1", BODY)).await.unwrap());
    let again = answered(door.deliver(door.signed("msg_1", BODY)).await.unwrap());
    assert_eq!((first.repeated, again.repeated, again.run), (false, true, first.run));
    assert_eq!((again.head.status, &again.body), (200, &first.body));
    assert!(!answered(door.deliver(door.signed("msg_2", BODY)).await.unwrap()).repeated);
    let failing = Door::open(WebhookScheme::Standard, WebhookReply::Answer, "/raise").await;
    for _ in 0..2 {
        let fault = failing.deliver(failing.signed("msg_1", BODY)).await.err().unwrap();
        assert_eq!(fault.function_error.unwrap().kind, "ValueError");
    }
}

#[tokio::test]
async fn a_repeated_delivery_is_told_of_the_run_whose_answer_is_too_large_to_keep() {
    let door = Door::open(WebhookScheme::Standard, WebhookReply::Answer, "/large").await;
    let DeliveryOutcome::Answered(first) = door.deliver(door.signed("msg_1", BODY)).await.unwrap() else {
        panic!("a first delivery is answered");
    };
    assert_eq!((first.body.len(), first.repeated), (limits::CLAIM_REPLY_MAX + 1, false));
    assert_eq!(door.accepted(door.signed("msg_1", BODY)).await, (first.run, true));
    assert_eq!(door.house.engine.triggers.state(&door.entry()).fired, 1);
}

#[tokio::test]
async fn the_run_of_an_answered_delivery_has_the_stage_of_its_alias() {
    for respond in [WebhookReply::Answer, WebhookReply::Accepted] {
        let (scheme, redelivery) = (WebhookScheme::Standard, Redelivery::Once);
        let hook = WebhookTrigger { name: parse("door"), scheme, respond, redelivery, path: "/".to_owned() };
        let door = Door::open_at(parse("staging"), hook, |_| {}).await;
        let run = match door.deliver(door.signed("msg_1", BODY)).await.unwrap() {
            DeliveryOutcome::Accepted { run, .. } => run,
            DeliveryOutcome::Answered(reply) => reply.run,
        };
        assert_eq!(door.house.run(run).await.stage, Stage::Staging, "{respond:?}");
    }
}

#[tokio::test]
async fn a_captured_delivery_makes_no_run_under_another_id_or_after_a_rotation() {
    let door = Door::open(WebhookScheme::GitHub, WebhookReply::Accepted, "/").await;
    let (first, repeated) = door.accepted(door.signed("1", BODY)).await;
    assert!(!repeated);
    let mut captured = door.signed("1", BODY);
    for (name, value) in &mut captured.headers {
        if name == "x-github-delivery" {
            "another".clone_into(value);
        }
    }
    assert_eq!(door.accepted(captured).await, (first, true));
    door.clock.advance(Duration::from_secs(29 * 86_400));
    let keep = Some(Duration::from_secs(60));
    let fresh = door.house.engine.triggers.rotate_secret(&door.entry(), None, keep).await.unwrap().1.text.unwrap();
    assert_eq!(door.accepted(door.signed_with(&fresh, "1", BODY)).await, (first, true));
    assert!(!door.accepted(door.signed_with(&fresh, "2", b"{\"other\": 1}")).await.1);
    let trials = [
        door.house.engine.triggers.test(&door.entry(), Bytes::from_static(BODY)).await.unwrap(),
        door.house.engine.triggers.test(&door.entry(), Bytes::from_static(BODY)).await.unwrap(),
    ];
    assert!(trials[0] != trials[1] && !trials.contains(&first), "a test always runs");
}

#[tokio::test]
async fn a_redelivery_runs_again_where_that_is_wanted_and_the_run_before_failed() {
    for (redelivery, path, again) in
        [(Redelivery::Retry, "/raise", true), (Redelivery::Once, "/raise", false), (Redelivery::Retry, "/", false)]
    {
        let (scheme, respond) = (WebhookScheme::Standard, WebhookReply::Accepted);
        let hook = WebhookTrigger { name: parse("door"), scheme, respond, redelivery, path: path.to_owned() };
        let door = Door::open_as(hook).await;
        let (mut last, _) = door.accepted(door.signed("msg_1", BODY)).await;
        for _ in 0..2 {
            door.house
                .engine
                .runs
                .await_run(door.house.engine.default_project(), last, Duration::from_secs(10))
                .await
                .unwrap();
            let (run, repeated) = door.accepted(door.signed("msg_1", BODY)).await;
            assert_eq!((repeated, run != last), (!again, again), "{redelivery:?} {path}");
            // While that one is under way, a further repetition is told of it.
            last = run;
        }
    }
}

#[tokio::test]
async fn a_test_delivery_goes_the_way_of_all_deliveries() {
    for scheme in WebhookScheme::ALL {
        let door = Door::open(scheme, WebhookReply::Accepted, "/").await;
        let run = door.house.engine.triggers.test(&door.entry(), Bytes::from_static(BODY)).await.unwrap();
        assert_eq!(door.house.engine.triggers.state(&door.entry()).last_run, Some(run), "{scheme}");
    }
}

fn event(id: &str, kind: &str) -> PublishedEvent {
    PublishedEvent {
        id: id.to_owned(),
        source: "/shop".to_owned(),
        kind: kind.to_owned(),
        subject: None,
        headers: vec![("ce-id".to_owned(), id.to_owned())],
        body: Bytes::new(),
        hops: 0,
    }
}

fn listens(name: &str, types: &str) -> TriggerSettings {
    let types = vec![parse(types)];
    TriggerSettings::Event(EventTrigger {
        name: parse(name),
        types,
        sources: Vec::new(),
        subjects: Vec::new(),
        path: "/".to_owned(),
    })
}

#[tokio::test]
async fn an_event_makes_one_run_for_each_trigger_that_wants_it_and_once() {
    let house = House::open().await;
    let project = house.engine.default_project();
    house.deploy_triggers("mail", vec![listens("orders", "order.*")]).await.unwrap();
    house.deploy_triggers("books", vec![listens("all", "*"), listens("paid", "order.paid")]).await.unwrap();
    let fired =
        house.engine.triggers.publish(project, &[event("1", "order.paid"), event("2", "user.new")]).await.unwrap();
    let mut told: Vec<_> = fired.iter().map(|f| (f.event, f.function.as_str(), f.trigger.as_str())).collect();
    told.sort_unstable();
    assert_eq!(told, [(0, "books", "all"), (0, "books", "paid"), (0, "mail", "orders"), (1, "books", "all")]);
    assert!(fired.iter().all(|fired| !fired.repeated));
    let again = house.engine.triggers.publish(project, &[event("1", "order.paid")]).await.unwrap();
    assert!(again.len() == 3 && again.iter().all(|again| again.repeated && fired.iter().any(|f| f.run == again.run)));
}

#[tokio::test]
async fn events_make_all_of_their_runs_or_none() {
    let house = House::open().await;
    let project = house.engine.default_project();
    house.deploy_triggers("mail", vec![listens("all", "*")]).await.unwrap();
    house.deploy_triggers("books", vec![listens("all", "*")]).await.unwrap();
    let many: Vec<_> = (0..501).map(|number| event(&number.to_string(), "x")).collect();
    let refused = house.engine.triggers.publish(project, &many).await.err().unwrap();
    assert_eq!(refused.code, Code::PayloadTooLarge);
    let query = RunQuery::newest(project, 10);
    assert!(house.engine.history().runs(&query).await.unwrap().runs.is_empty());
    assert!(house.engine.triggers.publish(project, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn deliveries_take_no_callers_keys_and_the_oldest_are_forgotten() {
    let (scheme, respond, redelivery) = (WebhookScheme::Standard, WebhookReply::Accepted, Redelivery::Once);
    let hook = WebhookTrigger { name: parse("door"), scheme, respond, redelivery, path: "/".to_owned() };
    let door = Door::open_with(hook, |settings| {
        (settings.quotas.function_keys, settings.quotas.project_keys) = (2, 2);
    })
    .await;
    for id in ["msg_1", "msg_2", "msg_3"] {
        let (_, repeated) = door.accepted(door.signed(id, BODY)).await;
        assert!(!repeated, "{id}");
        door.clock.advance(Duration::from_millis(1));
    }
    for (id, known) in [("msg_3", true), ("msg_2", true), ("msg_1", false)] {
        assert_eq!(door.accepted(door.signed(id, BODY)).await.1, known, "{id}");
    }
    let route = door.house.route("hooked").await;
    let call = || {
        CallRequest::http(
            TriggerKind::Http,
            HttpRequest { method: "POST".into(), path: "/".into(), ..HttpRequest::default() },
            Bytes::new(),
        )
    };
    let mut holders = Vec::new();
    for key in ["a", "b"] {
        let Ok(KeyClaim::First { holder, .. }) = door.house.engine.runs.once(&route, key.into(), &call(), false).await
        else {
            panic!("deliveries have taken the place of {key}");
        };
        holders.push(holder);
    }
    let fault = door.house.engine.runs.once(&route, "c".into(), &call(), false).await.err().unwrap();
    assert_eq!(fault.code, Code::RateLimited);
}
