//! Schedules under a clock that is set by hand: forth, back, across changes of daylight saving time, and restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use faas_engine::{Ports, TriggerChange, TriggerEntry, TriggerOrigin};
use faas_ports::{
    Clock, Collection, Expect, Expired, Expiry, Key, LogPage, LogQuery, PortError, PortResult, RunHistory, RunPage,
    RunQuery, Write,
};
use faas_testkit::{ManualClock, MemoryBlobs};
use faas_types::{
    AliasName, Code, CronSchedule, CronTrigger, EventTrigger, LogLine, MissedTicks, Mover, Overlap, ProjectId, RunId,
    RunRecord, RunState, Span, Timestamp, TriggerKind, TriggerSettings,
};

use crate::house::{House, parse, ports_over, until};

const SWITCHED_OFF: TriggerChange = TriggerChange { enabled: Some(false), alias: None, settings: None };

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn cron(schedule: &str, zone: &str) -> CronTrigger {
    CronTrigger {
        name: parse("tick"),
        schedule: CronSchedule::new(schedule, zone).unwrap(),
        missed: MissedTicks::Once,
        overlap: Overlap::Allow,
        jitter: Span::from_millis(0),
        path: "/".to_owned(),
        input: None,
    }
}

fn settings(cron: CronTrigger) -> Vec<TriggerSettings> {
    vec![TriggerSettings::Cron(Box::new(cron))]
}

/// A house at a time, with the function `job` on a schedule.
async fn house_at(now: &str, cron: CronTrigger) -> (House, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    clock.set(now.parse().unwrap());
    let house = House::at(Arc::clone(&clock) as _).await;
    house.deploy_triggers("job", settings(cron)).await.unwrap();
    (house, clock)
}

fn trigger(house: &House) -> Arc<TriggerEntry> {
    let function = house.engine.catalog().find(house.engine.default_project(), "job").unwrap();
    house.engine.triggers.find(function.record.id, "tick").unwrap()
}

/// The runs of the trigger `tick`.
async fn runs(house: &House) -> Vec<RunRecord> {
    let query = RunQuery::newest(house.engine.default_project(), 200);
    let mut runs = house.engine.history().runs(&query).await.unwrap().runs;
    runs.retain(|run| run.trigger_name == Some(parse("tick")));
    runs
}

/// Waits until every tick up to `time` is decided, and returns how many runs there are.
async fn decided(house: &House, time: Timestamp) -> usize {
    let is_decided = || house.engine.triggers.state(&trigger(house)).decided >= time;
    until(&format!("the ticks up to {time} are decided"), is_decided).await;
    runs(house).await.len()
}

/// Moves the clock, forth or back, where no tick of `tick` is due, and counts its runs once the task of schedules has worked
/// at that time: once it has fired another trigger, which is added then.
async fn passed_over(house: &House, clock: &ManualClock, time: &str) -> usize {
    clock.set(time.parse().unwrap());
    let function = house.engine.catalog().find(house.engine.default_project(), "job").unwrap();
    let witness = CronTrigger { name: parse("witness"), ..cron("* * * * *", "UTC") };
    let settings = TriggerSettings::Cron(Box::new(witness));
    let (witness, _) = house.engine.triggers.add(&function, AliasName::live(), settings, None, None).await.unwrap();
    clock.advance(Duration::from_secs(60));
    until("another trigger fires", || house.engine.triggers.state(&witness).fired == 1).await;
    house.engine.triggers.remove(&witness, false).await.unwrap();
    runs(house).await.len()
}

/// Moves the clock to a tick and counts the runs that there are then.
async fn at(house: &House, clock: &ManualClock, time: &str) -> usize {
    let time: Timestamp = time.parse().unwrap();
    clock.set(time);
    decided(house, time).await
}

#[tokio::test]
async fn each_tick_makes_one_run_whatever_the_clock_does() {
    let (house, clock) = house_at("2026-03-01T12:01:00Z", cron("*/10 * * * *", "UTC")).await;
    assert_eq!(at(&house, &clock, "2026-03-01T12:10:00Z").await, 1);
    // An hour forth: six ticks went by, and the latest stands for them.
    assert_eq!(at(&house, &clock, "2026-03-01T13:10:00Z").await, 2);
    // An hour back: what was decided is not decided again, up to the first tick beyond.
    assert_eq!(passed_over(&house, &clock, "2026-03-01T12:10:00Z").await, 2);
    assert_eq!(at(&house, &clock, "2026-03-01T13:20:00Z").await, 3);
    // A day forth and a day back.
    assert_eq!(at(&house, &clock, "2026-03-02T13:20:00Z").await, 4);
    assert_eq!(passed_over(&house, &clock, "2026-03-01T13:30:00Z").await, 4);
    assert_eq!(at(&house, &clock, "2026-03-02T13:30:00Z").await, 5);
    let state = house.engine.triggers.state(&trigger(&house));
    assert_eq!((state.fired, state.skipped), (5, 5 + 143));
    let made = runs(&house).await;
    assert!(made.len() == 5 && made.iter().all(|run| run.trigger == TriggerKind::Cron));
}

#[tokio::test]
async fn what_was_missed_is_made_up_for_as_the_policy_says() {
    for (missed, wanted) in [(MissedTicks::Skip, 0), (MissedTicks::Once, 1), (MissedTicks::All(4), 4)] {
        let (house, clock) =
            house_at("2026-03-01T12:01:00Z", CronTrigger { missed, ..cron("*/10 * * * *", "UTC") }).await;
        assert_eq!(at(&house, &clock, "2026-03-01T14:05:00Z").await, wanted, "{missed:?}");
    }
}

#[tokio::test]
async fn both_changes_of_daylight_saving_time_fire_once() {
    // Berlin leaves out 02:30 on 2026-03-29 and has it twice on 2026-10-25.
    let (house, clock) = house_at("2026-03-28T12:00:00Z", cron("30 2 * * *", "Europe/Berlin")).await;
    assert_eq!(at(&house, &clock, "2026-03-29T01:00:00Z").await, 1);
    assert_eq!(at(&house, &clock, "2026-03-30T00:30:00Z").await, 2);
    let (house, clock) = house_at("2026-10-24T12:00:00Z", cron("30 2 * * *", "Europe/Berlin")).await;
    assert_eq!(at(&house, &clock, "2026-10-25T00:30:00Z").await, 1);
    // The second 02:30 of that night is none; the next tick is the next day's.
    assert_eq!(passed_over(&house, &clock, "2026-10-25T01:30:00Z").await, 1);
    assert_eq!(at(&house, &clock, "2026-10-26T01:30:00Z").await, 2);
}

#[tokio::test]
async fn a_crash_between_run_and_mark_makes_no_second_run() {
    let (house, clock) = house_at("2026-03-01T12:01:00Z", cron("*/10 * * * *", "UTC")).await;
    assert_eq!(at(&house, &clock, "2026-03-01T12:10:00Z").await, 1);
    house.engine.stop(Duration::from_secs(5)).await;
    // As if the server had died before it could store the mark.
    let id = trigger(&house).record.id;
    let key = Key::new(house.engine.default_project(), Collection::TriggerStates, id.to_string());
    house.registry.commit(vec![Write::Delete { key, expect: Expect::Any }]).await.unwrap();
    let again = house.reopened().await;
    assert_eq!(decided(&again, "2026-03-01T12:10:00Z".parse().unwrap()).await, 1);
    assert_eq!(at(&again, &clock, "2026-03-01T12:20:00Z").await, 2);
}

#[tokio::test]
async fn ticks_that_passed_while_the_server_was_down_are_missed() {
    let (house, clock) = house_at("2026-03-01T12:01:00Z", cron("*/10 * * * *", "UTC")).await;
    assert_eq!(at(&house, &clock, "2026-03-01T12:10:00Z").await, 1);
    house.engine.stop(Duration::from_secs(5)).await;
    clock.advance(DAY);
    let again = house.reopened().await;
    assert_eq!(decided(&again, clock.now()).await, 2);
    assert_eq!(again.engine.triggers.state(&trigger(&again)).skipped, 143);
}

#[tokio::test]
async fn a_tick_during_a_run_is_skipped_or_waits_as_the_policy_says() {
    let hangs = |overlap| CronTrigger { overlap, path: "/never".to_owned(), ..cron("*/10 * * * *", "UTC") };
    let (house, clock) = house_at("2026-03-01T12:01:00Z", hangs(Overlap::Skip)).await;
    at(&house, &clock, "2026-03-01T12:10:00Z").await;
    assert_eq!(at(&house, &clock, "2026-03-01T12:20:00Z").await, 1);
    assert_eq!(house.engine.triggers.state(&trigger(&house)).skipped, 1);
    let (house, clock) = house_at("2026-03-01T12:01:00Z", hangs(Overlap::Queue)).await;
    at(&house, &clock, "2026-03-01T12:10:00Z").await;
    assert_eq!(at(&house, &clock, "2026-03-01T12:20:00Z").await, 2);
    let states = async || runs(&house).await.iter().map(RunRecord::state).collect::<Vec<_>>();
    let wanted = [RunState::Queued, RunState::Running];
    let waits = async {
        while states().await != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waits).await.expect("the second run waits for the first");
}

/// A history whose runs cannot be read while `fails` is set.
struct UnreadableHistory {
    inner: Arc<dyn RunHistory>,
    fails: AtomicBool,
}

#[async_trait]
impl RunHistory for UnreadableHistory {
    async fn record(&self, runs: Vec<RunRecord>) -> PortResult<()> {
        self.inner.record(runs).await
    }

    async fn run(&self, project: ProjectId, id: RunId) -> PortResult<Option<RunRecord>> {
        if self.fails.load(Ordering::Acquire) {
            return Err(PortError::Closed("history"));
        }
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

#[tokio::test]
async fn a_tick_waits_while_it_is_not_known_whether_the_last_run_has_ended() {
    let clock = Arc::new(ManualClock::default());
    clock.set("2026-03-01T12:01:00Z".parse().unwrap());
    let ports = ports_over(Arc::new(MemoryBlobs::default()));
    let history = Arc::new(UnreadableHistory { inner: ports.history, fails: AtomicBool::new(false) });
    let ports = Ports { history: Arc::clone(&history) as _, clock: Arc::clone(&clock) as _, ..ports };
    let house = House::of(ports).await;
    let skips = CronTrigger { overlap: Overlap::Skip, path: "/never".to_owned(), ..cron("*/10 * * * *", "UTC") };
    house.deploy_triggers("job", settings(skips)).await.unwrap();
    assert_eq!(at(&house, &clock, "2026-03-01T12:10:00Z").await, 1);

    history.fails.store(true, Ordering::Release);
    clock.set("2026-03-01T12:20:00Z".parse().unwrap());
    until("the tick is not decided", || house.engine.triggers.state(&trigger(&house)).refused == 1).await;
    history.fails.store(false, Ordering::Release);
    clock.advance(Duration::from_secs(5));
    assert_eq!(decided(&house, "2026-03-01T12:20:00Z".parse().unwrap()).await, 1);
    assert_eq!(house.engine.triggers.state(&trigger(&house)).skipped, 1);
}

#[tokio::test]
async fn jitter_puts_the_same_delay_before_a_run_each_time() {
    let jitter = Span::from_secs(600);
    let (house, clock) = house_at("2026-03-01T12:01:00Z", CronTrigger { jitter, ..cron("@daily", "UTC") }).await;
    assert_eq!(at(&house, &clock, "2026-03-02T00:00:00Z").await, 1);
    let due = runs(&house).await[0].due_at.unwrap();
    assert!(due > clock.now() && due < clock.now().plus(jitter.get()), "{due}");
}

#[tokio::test]
async fn deployments_and_rollbacks_bring_and_take_the_triggers_of_the_manifest() {
    let (house, clock) = house_at("2026-03-01T12:01:00Z", cron("@hourly", "UTC")).await;
    let first = trigger(&house);
    assert_eq!(first.record.origin, TriggerOrigin::Manifest);
    house.engine.triggers.change(&first, SWITCHED_OFF, false).await.unwrap();
    // Switched off stays switched off, and it is the same trigger.
    house.deploy_triggers("job", settings(cron("@daily", "UTC"))).await.unwrap();
    let second = trigger(&house);
    assert_eq!((second.record.id, second.record.enabled), (first.record.id, false));
    house.deploy_triggers("job", Vec::new()).await.unwrap();
    let function = house.engine.catalog().find(house.engine.default_project(), "job").unwrap();
    assert!(house.engine.triggers.of(function.record.id).is_empty());
    // One that was added by hand outlives deployments, and a rollback brings the manifest's back.
    let added = CronTrigger { name: parse("mine"), ..cron("@weekly", "UTC") };
    house
        .engine
        .triggers
        .add(&function, AliasName::live(), TriggerSettings::Cron(Box::new(added)), None, None)
        .await
        .unwrap();
    clock.advance(HOUR);
    house.engine.deployments.rollback(&function, Some(1), None, Mover::Platform).await.unwrap();
    let names = |house: &House| {
        let of = house.engine.triggers.of(function.record.id);
        of.iter().map(|entry| entry.record.name().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&house), ["mine", "tick"]);
    // What passed before it came back is none of it.
    assert_eq!(trigger(&house).record.active_since, clock.now());
    let fault = house.engine.triggers.remove(&trigger(&house), false).await.err().unwrap();
    assert_eq!(fault.code, Code::Conflict);
    assert_eq!(names(&house.reopened().await), ["mine", "tick"]);
    house.engine.deployments.delete_function(&function).await.unwrap();
    assert!(house.engine.triggers.of(function.record.id).is_empty());
}

#[tokio::test]
async fn another_type_under_the_same_name_is_another_trigger() {
    let (house, _) = house_at("2026-03-01T12:01:00Z", cron("@hourly", "UTC")).await;
    let before = trigger(&house).record.id;
    let types = vec![parse("a.*")];
    let event = EventTrigger { name: parse("tick"), types, sources: vec![], subjects: vec![], path: "/".to_owned() };
    house.deploy_triggers("job", vec![TriggerSettings::Event(event)]).await.unwrap();
    let after = trigger(&house);
    assert!(after.record.id != before && house.engine.triggers.next_fires(&after, None, 5).is_empty());
}

#[tokio::test]
async fn a_test_fires_now_and_the_next_times_are_told() {
    let (house, _) = house_at("2026-03-01T12:01:00Z", cron("0 9 * * 1-5", "UTC")).await;
    let next = house.engine.triggers.next_fires(&trigger(&house), None, 2);
    assert_eq!(
        next.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["2026-03-02T09:00:00.000Z", "2026-03-03T09:00:00.000Z"]
    );
    let run = house.engine.triggers.test(&trigger(&house), Default::default()).await.unwrap();
    let ended = house.engine.runs.await_run(house.engine.default_project(), run, Duration::from_secs(5)).await.unwrap();
    assert_eq!(ended.state(), RunState::Succeeded);
    let off = house.engine.triggers.change(&trigger(&house), SWITCHED_OFF, false).await.unwrap();
    assert!(house.engine.triggers.next_fires(&off, None, 2).is_empty());
    assert_eq!(house.engine.triggers.test(&off, Default::default()).await.err().unwrap().fault.code, Code::Conflict);
}
