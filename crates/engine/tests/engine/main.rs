//! The engine's decisions, over in-memory adapters and scripted instances.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and names say what it is about")]

mod collecting;
mod completion;
mod hooks;
mod house;
mod kept;
mod packages;
mod readiness;
mod recording;
mod rollouts;
mod schedules;
mod script;
mod stages;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use faas_engine::{EngineSettings, KeySettings};
use faas_types::{AliasName, Code, Mover, RunState, Scaling, Scope, Span, Stage, limits};
use house::{House, parse, read, scaling, until};

#[tokio::test]
async fn the_first_call_is_cold_and_the_next_is_warm() {
    let house = House::open().await;
    house.deploy("hello", scaling(10, 1)).await.unwrap();
    let (first, second) = (house.call("hello", "/").await.unwrap(), house.call("hello", "/").await.unwrap());
    assert!(first.cold_start);
    assert!(!second.cold_start);
    let record = house.run(second.run).await;
    assert_eq!((record.state(), record.function().version, record.attempts.len()), (RunState::Succeeded, 1, 1));
    house.alive(1).await;
}

#[tokio::test]
async fn an_unknown_function_is_not_found() {
    let house = House::open().await;
    assert_eq!(house.call("nope", "/").await.err().unwrap().fault.code, Code::FunctionNotFound);
}

#[tokio::test]
async fn concurrent_calls_scale_out_to_the_maximum_and_no_further() {
    let house = House::open().await;
    house.deploy("busy", scaling(3, 1)).await.unwrap();
    let calls = (0..12).map(|_| house.text("busy", "/slow"));
    let replies = futures_util::future::join_all(calls).await;
    assert!(replies.iter().all(Result::is_ok));
    house.alive(3).await;
}

#[tokio::test]
async fn concurrency_shares_one_instance() {
    let house = House::open().await;
    house.deploy("shared", scaling(1, 8)).await.unwrap();
    let replies = futures_util::future::join_all((0..8).map(|_| house.text("shared", "/slow"))).await;
    let first = replies[0].as_ref().unwrap();
    assert!(replies.iter().all(|reply| reply.as_ref().unwrap() == first));
    house.alive(1).await;
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let house = House::open().await;
    house.deploy("full", scaling(1, 1)).await.unwrap();
    house.launcher.held.store(true, Ordering::Release);
    let refused = AtomicU32::new(0);
    let call = async |_| {
        let reply = house.call("full", "/").await;
        refused.fetch_add(u32::from(reply.is_err()), Ordering::AcqRel);
        reply
    };
    let calls = futures_util::future::join_all((0..=limits::QUEUE_MAX).map(call));
    let release = async {
        until("a call is refused", || refused.load(Ordering::Acquire) > 0).await;
        house.launcher.held.store(false, Ordering::Release);
        house.launcher.go.notify_waiters();
    };
    let (replies, ()) = tokio::join!(calls, release);
    let refused: Vec<_> = replies.into_iter().filter_map(Result::err).map(|failure| failure.fault).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].code, refused[0].retry_after), (Code::RateLimited, Some(1)));
}

#[tokio::test]
async fn a_timeout_ends_the_instance_and_the_next_call_gets_another() {
    let house = House::open().await;
    house.deploy_with("slow", scaling(1, 1), Span::from_millis(100)).await.unwrap();
    let failure = house.call("slow", "/never").await.err().unwrap();
    assert_eq!(failure.fault.code, Code::TimeoutExceeded);
    assert_eq!(house.run(failure.run.unwrap()).await.code, Some(Code::TimeoutExceeded));
    assert!(house.call("slow", "/").await.unwrap().cold_start);
    house.alive(1).await;
}

#[tokio::test]
async fn an_error_of_the_function_keeps_its_instance() {
    let house = House::open().await;
    house.deploy("raises", scaling(1, 1)).await.unwrap();
    let failure = house.call("raises", "/raise").await.err().unwrap();
    assert_eq!(failure.fault.function_error.unwrap().kind, "ValueError");
    assert!(!house.call("raises", "/").await.unwrap().cold_start);
    let record = house.run(failure.run.unwrap()).await;
    assert_eq!(record.message.as_deref(), Some("ValueError: no"));
}

#[tokio::test]
async fn a_crash_is_told_and_replaced() {
    let house = House::open().await;
    house.deploy("crashes", scaling(1, 1)).await.unwrap();
    let failure = house.call("crashes", "/crash").await.err().unwrap();
    assert_eq!(failure.fault.code, Code::RuntimeError);
    assert!(house.call("crashes", "/").await.unwrap().cold_start);
}

#[tokio::test]
async fn a_status_that_ends_no_request_is_an_error() {
    let house = House::open().await;
    house.deploy("switch", scaling(1, 1)).await.unwrap();
    let failure = house.call("switch", "/switch").await.err().unwrap();
    assert_eq!(failure.fault.code, Code::RuntimeError);
    house.text("switch", "/").await.unwrap();
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_its_run() {
    let house = House::open().await;
    house.deploy("left", scaling(1, 1)).await.unwrap();
    let call = house.call("left", "/drip").await.unwrap();
    let run = call.run;
    drop(call);
    assert_eq!(house.run(run).await.state(), RunState::Cancelled);
    assert!(house.call("left", "/").await.unwrap().cold_start, "an interrupted instance must not be used again");
}

#[tokio::test]
async fn a_deployment_loses_no_call_and_moves_all_to_the_new_version() {
    let house = House::open().await;
    house.deploy("moves", scaling(2, 1)).await.unwrap();
    let calls = async {
        let mut versions = Vec::new();
        for _ in 0..40 {
            let replies = futures_util::future::join_all((0..4).map(|_| house.text("moves", "/drip"))).await;
            versions.extend(replies.into_iter().map(|reply| reply.unwrap()[..2].to_owned()));
            if versions.last().is_some_and(|version| version == "v2") {
                break;
            }
        }
        versions
    };
    let (versions, deployed) = tokio::join!(calls, async {
        until("calls are under way", || house.launcher.invoked.load(Ordering::Acquire) >= 4).await;
        house.deploy("moves", scaling(2, 1)).await
    });
    assert_eq!(deployed.unwrap().version.number, 2);
    assert_eq!(versions.first().map(String::as_str), Some("v1"));
    assert_eq!(versions.last().map(String::as_str), Some("v2"));
}

#[tokio::test]
async fn a_version_that_does_not_load_changes_nothing() {
    let house = House::open().await;
    house.deploy("steady", scaling(1, 1)).await.unwrap();
    house.text("steady", "/").await.unwrap();
    house.launcher.broken.store(true, Ordering::Release);
    let fault = house.deploy("steady", scaling(1, 1)).await.err().unwrap();
    assert_eq!(fault.code, Code::DeploymentFailed);
    assert_eq!(fault.function_error.unwrap().kind, "SyntaxError");
    assert!(house.text("steady", "/").await.unwrap().starts_with("v1"));
    let entry = house.engine.catalog().find(house.engine.default_project(), "steady").unwrap();
    assert_eq!(entry.record.latest_version, 1);
}

#[tokio::test]
async fn a_second_deployment_at_the_same_time_is_refused() {
    let house = House::open().await;
    house.launcher.held.store(true, Ordering::Release);
    let release = async {
        until("an instance is being started", || house.launcher.waiting.load(Ordering::Acquire) > 0).await;
        house.launcher.held.store(false, Ordering::Release);
        house.launcher.go.notify_waiters();
    };
    let (one, two, ()) =
        tokio::join!(house.deploy("twice", scaling(1, 1)), house.deploy("twice", scaling(1, 1)), release);
    let mut codes = [one.err().map(|fault| fault.code), two.err().map(|fault| fault.code)];
    codes.sort();
    assert_eq!(codes, [None, Some(Code::Conflict)]);
}

#[tokio::test]
async fn a_rollback_goes_to_the_version_before_and_can_be_followed_by_a_deployment() {
    let house = House::open().await;
    for _ in 0..3 {
        house.deploy("back", scaling(1, 1)).await.unwrap();
    }
    let project = house.engine.default_project();
    let entry = || house.engine.catalog().find(project, "back").unwrap();
    assert_eq!(
        house.engine.deployments.rollback(&entry(), None, None, Mover::Platform).await.unwrap().version.number,
        2
    );
    assert!(house.text("back", "/").await.unwrap().starts_with("v2"));
    assert_eq!(
        house.engine.deployments.rollback(&entry(), None, None, Mover::Platform).await.unwrap().version.number,
        1
    );
    assert_eq!(
        house.engine.deployments.rollback(&entry(), None, None, Mover::Platform).await.err().unwrap().code,
        Code::NotFound
    );
    assert_eq!(
        house.engine.deployments.rollback(&entry(), Some(9), None, Mover::Platform).await.err().unwrap().code,
        Code::NotFound
    );
    assert_eq!(house.deploy("back", scaling(1, 1)).await.unwrap().version.number, 4);
    assert_eq!(
        house.engine.deployments.rollback(&entry(), None, None, Mover::Platform).await.unwrap().version.number,
        1
    );
}

#[tokio::test]
async fn moving_live_by_hand_can_be_rolled_back() {
    let house = House::open().await;
    for _ in 0..3 {
        house.deploy("moved", scaling(1, 1)).await.unwrap();
    }
    let entry = || house.engine.catalog().find(house.engine.default_project(), "moved").unwrap();
    let wish = faas_engine::AliasWish { version: 1, split: None, sticky: None, by: Mover::Platform, note: None };
    house.engine.deployments.set_alias(&entry(), &AliasName::live(), wish).await.unwrap();
    assert!(house.text("moved", "/").await.unwrap().starts_with("v1"));
    assert_eq!(
        house.engine.deployments.rollback(&entry(), None, None, Mover::Platform).await.unwrap().version.number,
        3
    );
}

#[tokio::test]
async fn changed_vars_reach_the_next_call() {
    let house = House::open().await;
    house.deploy("vars", scaling(1, 1)).await.unwrap();
    assert!(house.text("vars", "/").await.unwrap().ends_with("none"));
    let entry = house.engine.catalog().find(house.engine.default_project(), "vars").unwrap();
    house
        .engine
        .vars
        .set_for_function(&entry, Stage::Prod, [("COLOUR".to_owned(), "red".to_owned())].into())
        .await
        .unwrap();
    assert!(house.text("vars", "/").await.unwrap().ends_with("red"));
    house.alive(1).await;
    let refused =
        house.engine.vars.set_for_function(&entry, Stage::Prod, [("FAAS_X".to_owned(), "1".to_owned())].into()).await;
    assert_eq!(refused.err().unwrap().code, Code::InvalidConfiguration);
}

#[tokio::test]
async fn a_call_that_was_routed_before_its_vars_changed_does_no_harm() {
    let house = House::open().await;
    house.deploy("late", scaling(1, 1)).await.unwrap();
    let before = house.route("late").await;
    let entry = house.engine.catalog().find(house.engine.default_project(), "late").unwrap();
    house
        .engine
        .vars
        .set_for_function(&entry, Stage::Prod, [("COLOUR".to_owned(), "red".to_owned())].into())
        .await
        .unwrap();
    assert!(house.text("late", "/").await.unwrap().ends_with("red"));
    house.send(before, "/").await.unwrap();
    assert!(house.text("late", "/").await.unwrap().ends_with("red"));
    house.alive(1).await;
}

#[tokio::test]
async fn an_idle_function_makes_room_for_one_that_waits() {
    let settings =
        EngineSettings { instances_max: 1, tend_every: Duration::from_millis(10), ..EngineSettings::default() };
    let house = House::with(settings).await;
    for name in ["first", "second"] {
        house.deploy_with(name, scaling(2, 1), Span::from_secs(5)).await.unwrap();
    }
    for name in ["first", "second", "first"] {
        house.text(name, "/").await.unwrap();
        house.alive(1).await;
    }
}

#[tokio::test]
async fn a_busy_function_makes_room_when_it_falls_idle() {
    let settings =
        EngineSettings { instances_max: 1, tend_every: Duration::from_millis(10), ..EngineSettings::default() };
    let house = House::with(settings).await;
    for name in ["first", "second"] {
        house.deploy_with(name, scaling(2, 1), Span::from_secs(5)).await.unwrap();
    }
    let (first, second) = tokio::join!(house.text("first", "/slow"), house.text("second", "/slow"));
    first.unwrap();
    second.unwrap();
}

#[tokio::test]
async fn callers_that_went_away_leave_their_place_in_the_queue() {
    let house = House::open().await;
    house.deploy("queue", scaling(1, 1)).await.unwrap();
    house.launcher.held.store(true, Ordering::Release);
    let gone = futures_util::future::join_all((0..limits::QUEUE_MAX).map(|_| house.call("queue", "/")));
    assert!(tokio::time::timeout(Duration::from_millis(50), gone).await.is_err());
    let release = async {
        until("an instance is being started", || house.launcher.waiting.load(Ordering::Acquire) > 0).await;
        house.launcher.held.store(false, Ordering::Release);
        house.launcher.go.notify_waiters();
    };
    let (reply, ()) = tokio::join!(house.call("queue", "/"), release);
    reply.unwrap();
}

#[tokio::test]
async fn idle_instances_stop_and_the_minimum_stays() {
    let settings = EngineSettings {
        idle_timeout: Duration::from_millis(30),
        tend_every: Duration::from_millis(10),
        ..EngineSettings::default()
    };
    let house = House::with(settings).await;
    house.deploy("idle", scaling(2, 1)).await.unwrap();
    house.text("idle", "/").await.unwrap();
    house.alive(0).await;
    house.deploy("kept", Scaling { min: 2, max: 4, concurrency: None }).await.unwrap();
    house.alive(2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    house.alive(2).await;
}

#[tokio::test]
async fn a_restart_finds_functions_versions_and_keys() {
    let house = House::open().await;
    house.deploy("stays", scaling(1, 1)).await.unwrap();
    let project = house.engine.default_project();
    let key = house.engine.keys().mint(project, KeySettings::new("ci", vec![Scope::Invoke]), None).await.unwrap();
    house.engine.stop(Duration::from_secs(1)).await;
    let again = house.reopened().await;
    assert_eq!(again.engine.default_project(), project);
    assert!(again.text("stays", "/").await.unwrap().starts_with("v1"));
    let caller = again.engine.keys().authenticate(&key.text).unwrap();
    assert!(caller.may(Scope::Invoke) && !caller.may(Scope::FunctionsRead));
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once() {
    let house = House::open().await;
    let project = house.engine.default_project();
    let key = house.engine.keys().mint(project, KeySettings::new("ci", vec![Scope::Admin]), None).await.unwrap();
    house.engine.keys().revoke(project, key.record.id).await.unwrap();
    assert_eq!(house.engine.keys().authenticate(&key.text).err().unwrap().code, Code::Unauthenticated);
    let unknown = house.engine.keys().revoke(project, parse("key_00000000000000000000000000")).await;
    assert_eq!(unknown.err().unwrap().code, Code::NotFound);
}

#[tokio::test]
async fn a_deleted_function_is_gone_with_its_instances() {
    let house = House::open().await;
    house.deploy("gone", scaling(1, 1)).await.unwrap();
    house.text("gone", "/").await.unwrap();
    let entry = house.engine.catalog().find(house.engine.default_project(), "gone").unwrap();
    house.engine.deployments.delete_function(&entry).await.unwrap();
    assert_eq!(house.call("gone", "/").await.err().unwrap().fault.code, Code::FunctionNotFound);
    house.alive(0).await;
    assert_eq!(house.deploy("gone", scaling(1, 1)).await.unwrap().version.number, 1, "a new life begins at 1");
}

#[tokio::test]
async fn stopping_lets_calls_end_and_leaves_nothing() {
    let house = House::open().await;
    house.deploy("last", scaling(2, 1)).await.unwrap();
    let call = house.call("last", "/drip").await.unwrap();
    let (text, ()) = tokio::join!(read(call), house.engine.stop(Duration::from_secs(5)));
    assert!(text.unwrap().starts_with("v1"));
    house.alive(0).await;
    assert_eq!(house.call("last", "/").await.err().unwrap().fault.code, Code::Unavailable);
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let house = House::open().await;
    house.deploy("stuck", scaling(2, 1)).await.unwrap();
    let stuck = house.call("stuck", "/never");
    let stopped = async {
        until("the first call is under way", || house.launcher.invoked.load(Ordering::Acquire) > 0).await;
        house.engine.stop(Duration::from_millis(100)).await;
    };
    tokio::select! {
        _ = stuck => panic!("a call that never ends has ended"),
        () = stopped => {}
    }
    house.alive(0).await;
}

#[tokio::test]
async fn who_waits_when_the_server_stops_is_still_served() {
    let house = House::open().await;
    house.deploy("queue", scaling(1, 1)).await.unwrap();
    let (first, second, ()) = tokio::join!(house.text("queue", "/slow"), house.text("queue", "/slow"), async {
        until("the first call is under way", || house.launcher.invoked.load(Ordering::Acquire) > 0).await;
        house.engine.stop(Duration::from_secs(5)).await;
    });
    assert_eq!(first.unwrap(), second.unwrap(), "one instance served both");
    house.alive(0).await;
}

#[tokio::test]
async fn who_waits_in_vain_when_the_server_stops_is_told() {
    let house = House::open().await;
    house.deploy("stuck", scaling(1, 1)).await.unwrap();
    let stuck = house.call("stuck", "/never");
    let waits = async {
        until("the first call is under way", || house.launcher.invoked.load(Ordering::Acquire) > 0).await;
        let (refused, ()) = tokio::join!(house.call("stuck", "/"), house.engine.stop(Duration::from_millis(100)));
        refused.err().unwrap().fault
    };
    let fault = tokio::select! {
        _ = stuck => panic!("a call that never ends has ended"),
        fault = waits => fault,
    };
    assert_eq!((fault.code, fault.retry_after), (Code::Unavailable, Some(1)));
    house.alive(0).await;
}

#[tokio::test]
async fn a_call_that_waits_follows_a_deployment() {
    let house = House::open().await;
    house.deploy("moves", scaling(1, 1)).await.unwrap();
    let waits = AtomicBool::new(false);
    let (first, second, ()) = tokio::join!(
        house.text("moves", "/drip"),
        async {
            until("the first call is under way", || house.launcher.invoked.load(Ordering::Acquire) > 0).await;
            waits.store(true, Ordering::Release);
            house.text("moves", "/").await
        },
        async {
            until("the second call waits", || waits.load(Ordering::Acquire)).await;
            house.deploy("moves", scaling(1, 1)).await.unwrap();
        }
    );
    assert!(first.unwrap().starts_with("v1"));
    assert!(second.unwrap().starts_with("v2"));
}

#[tokio::test]
async fn a_node_whose_memory_holds_no_instance_refuses_at_once() {
    let house = House::with(EngineSettings { memory_max: 16 << 20, ..EngineSettings::default() }).await;
    house.deploy("large", scaling(2, 1)).await.unwrap();
    let fault = house.call("large", "/").await.err().unwrap().fault;
    assert_eq!((fault.code, fault.retry_after), (Code::Overloaded, Some(60)));
    assert_eq!(house.engine.scheduler().instances(), 0);
}
