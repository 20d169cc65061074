//! Aliases, splits, previews and canaries over an engine whose time is told.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use faas_engine::{AliasWish, FunctionEntry, Route, RunOptions, Selector, Target};
use faas_ports::{Collection, Key};
use faas_testkit::ManualClock;
use faas_types::{
    Affinity, AliasName, AuthMode, Author, CanaryPolicy, Code, CronSchedule, CronTrigger, DeploymentKind, Fault, KeyId,
    MissedTicks, Mover, Overlap, Permille, Span, Split, Stage, TriggerKind, TriggerSettings,
};

use crate::house::{House, parse, scaling, until};

const HOUR: Duration = Duration::from_secs(3600);

fn entry(house: &House, name: &str) -> Arc<FunctionEntry> {
    house.engine.catalog().find(house.engine.default_project(), name).unwrap()
}

fn share(thousandths: u16) -> Permille {
    Permille::new(thousandths).unwrap()
}

fn somebody() -> Mover {
    Mover::Key(Author { key: KeyId::from_u128(5), name: "somebody".into() })
}

fn to(version: u32) -> AliasWish {
    AliasWish { version, split: None, sticky: None, by: somebody(), note: None }
}

fn split(version: u32, second: u32, thousandths: u16) -> AliasWish {
    AliasWish { split: Some(Split { version: second, share: share(thousandths) }), ..to(version) }
}

async fn route(house: &House, name: &str, selector: &str) -> Result<Route, Fault> {
    house.engine.runs.route(house.engine.default_project(), name, &parse(selector)).await
}

async fn deployed(house: &House, name: &str, versions: u32) {
    for _ in 0..versions {
        house.deploy(name, scaling(4, 8)).await.unwrap();
    }
}

fn policy() -> CanaryPolicy {
    CanaryPolicy { steps: vec![share(100), share(500)], min_calls: 5, ..CanaryPolicy::default() }
}

async fn house() -> (House, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    (House::at(Arc::clone(&clock) as _).await, clock)
}

/// Calls until what is wanted of the function is there, for at most 5 s.
async fn calls_until(house: &House, path: &str, selector: &str, done: impl Fn(&FunctionEntry) -> bool) {
    for _ in 0..500 {
        if done(&entry(house, "tried")) {
            return;
        }
        let route = route(house, "tried", selector).await.unwrap();
        drop(house.send(route, path).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", entry(house, "tried").record);
}

#[tokio::test]
async fn aliases_address_versions_and_outlive_the_server() {
    let (house, _) = house().await;
    deployed(&house, "named", 3).await;
    let staging: AliasName = parse("staging");
    house.engine.deployments.set_alias(&entry(&house, "named"), &staging, to(1)).await.unwrap();
    for (selector, version) in [("live", 3), ("staging", 1), ("2", 2)] {
        assert_eq!(route(&house, "named", selector).await.unwrap().version.number, version);
    }
    let again = house.reopened().await;
    assert_eq!(route(&again, "named", "staging").await.unwrap().version.number, 1);
    let missing = house.engine.deployments.set_alias(&entry(&house, "named"), &staging, to(9)).await;
    assert_eq!(missing.err().unwrap().code, Code::NotFound);
    house.engine.deployments.remove_alias(&entry(&house, "named"), &staging, somebody()).await.unwrap();
    assert_eq!(route(&house, "named", "staging").await.err().unwrap().code, Code::NotFound);
    let live = house.engine.deployments.remove_alias(&entry(&house, "named"), &AliasName::live(), somebody()).await;
    assert_eq!(live.err().unwrap().code, Code::InvalidConfiguration);
    let kinds: Vec<_> = house.engine.deployments.list(&entry(&house, "named")).await.unwrap();
    let kinds: Vec<_> = kinds.iter().skip(3).map(|event| (event.kind, event.from, event.to)).collect();
    assert_eq!(kinds, [(DeploymentKind::Set, None, Some(1)), (DeploymentKind::Remove, Some(1), Some(1))]);
}

#[tokio::test]
async fn a_function_has_so_many_aliases_and_no_more() {
    let (house, _) = house().await;
    deployed(&house, "many", 1).await;
    for number in 1..faas_types::limits::ALIASES_MAX {
        house.engine.deployments.set_alias(&entry(&house, "many"), &parse(&format!("a{number}")), to(1)).await.unwrap();
    }
    let fault = house.engine.deployments.set_alias(&entry(&house, "many"), &parse("more"), to(1)).await.err().unwrap();
    assert_eq!(fault.code, Code::RateLimited);
    // Those that are there can still be moved.
    house.engine.deployments.set_alias(&entry(&house, "many"), &parse("a1"), to(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_at_once_are_split_exactly_by_weight() {
    let (house, _) = house().await;
    deployed(&house, "split", 2).await;
    house.engine.deployments.set_alias(&entry(&house, "split"), &AliasName::live(), split(1, 2, 137)).await.unwrap();
    let callers = (0..8).map(|_| {
        let engine = house.engine.clone();
        tokio::spawn(async move {
            let (project, live) = (engine.default_project(), Selector::Alias(AliasName::live()));
            let mut second = 0;
            for _ in 0..1_250 {
                second += u32::from(engine.runs.route(project, "split", &live).await.unwrap().version.number == 2);
            }
            second
        })
    });
    let mut second = 0;
    for caller in callers.collect::<Vec<_>>() {
        second += caller.await.unwrap();
    }
    assert!((1_360..=1_380).contains(&second), "{second} of 10,000 instead of 1,370");
}

#[tokio::test]
async fn a_caller_stays_with_a_version_while_the_share_grows() {
    let (house, _) = house().await;
    deployed(&house, "loyal", 2).await;
    let sticky = Some("header:x-user".parse::<Affinity>().unwrap());
    let shares = async |thousandths| {
        let wish = AliasWish { sticky: sticky.clone(), ..split(1, 2, thousandths) };
        house.engine.deployments.set_alias(&entry(&house, "loyal"), &AliasName::live(), wish).await.unwrap();
        let mut versions = HashMap::new();
        for user in 0..2_000 {
            let name = format!("user-{user}");
            let mut seen = Vec::new();
            for _ in 0..3 {
                let live = Selector::Alias(AliasName::live());
                let project = house.engine.default_project();
                let found = house.engine.runs.route_request(project, "loyal", &live, |_| Some(name.as_bytes())).await;
                seen.push(found.unwrap().version.number);
            }
            assert!(seen.iter().all(|version| *version == seen[0]));
            versions.insert(user, seen[0]);
        }
        versions
    };
    let few = shares(100).await;
    let many = shares(400).await;
    let second = |versions: &HashMap<i32, u32>| versions.values().filter(|version| **version == 2).count();
    assert!(
        (140..260).contains(&second(&few)) && (700..900).contains(&second(&many)),
        "{} {}",
        second(&few),
        second(&many)
    );
    assert!(few.iter().all(|(user, version)| *version == 1 || many[user] == 2), "nobody goes back");
}

#[tokio::test]
async fn a_run_for_later_keeps_the_version_that_was_drawn_when_it_was_accepted() {
    let (house, _) = house().await;
    deployed(&house, "later", 2).await;
    house.engine.deployments.set_alias(&entry(&house, "later"), &AliasName::live(), split(1, 2, 500)).await.unwrap();
    house.engine.functions.pause(&entry(&house, "later"), true).await.unwrap();
    let mut runs = Vec::new();
    for _ in 0..20 {
        let route = route(&house, "later", "live").await.unwrap();
        let version = route.version.number;
        let request = faas_engine::CallRequest::http(
            TriggerKind::Http,
            faas_engine::HttpRequest { method: "POST".into(), path: "/".into(), ..faas_engine::HttpRequest::default() },
            bytes::Bytes::new(),
        );
        runs.push((version, house.engine.runs.accept(route, request, RunOptions::default()).await.unwrap().run));
    }
    assert!(runs.iter().any(|(version, _)| *version == 1) && runs.iter().any(|(version, _)| *version == 2));
    house.engine.deployments.set_alias(&entry(&house, "later"), &AliasName::live(), to(1)).await.unwrap();
    house.engine.functions.pause(&entry(&house, "later"), false).await.unwrap();
    for (version, run) in runs {
        let ended =
            house.engine.runs.await_run(house.engine.default_project(), run, Duration::from_secs(5)).await.unwrap();
        assert!(ended.state().is_terminal());
        assert_eq!(ended.function().version, version);
    }
}

#[tokio::test]
async fn a_call_that_waits_follows_its_alias_and_keeps_its_place() {
    let (house, _) = house().await;
    deployed(&house, "waits", 2).await;
    house.engine.deployments.set_alias(&entry(&house, "waits"), &AliasName::live(), split(1, 2, 500)).await.unwrap();
    let mut routes = Vec::new();
    for _ in 0..20 {
        routes.push(route(&house, "waits", "live").await.unwrap());
    }
    let chosen: Vec<u32> = routes.iter().map(|route| route.version.number).collect();
    // The same split at another revision changes nobody's version.
    house
        .engine
        .vars
        .set_for_function(&entry(&house, "waits"), Stage::Prod, [("COLOUR".to_owned(), "red".to_owned())].into())
        .await
        .unwrap();
    for (route, version) in routes.iter().zip(&chosen) {
        assert_eq!(house.send(route.clone(), "/").await.unwrap().version, *version);
    }
    house.engine.deployments.set_alias(&entry(&house, "waits"), &AliasName::live(), to(1)).await.unwrap();
    for route in routes {
        assert_eq!(house.send(route, "/").await.unwrap().version, 1);
    }
}

#[tokio::test]
async fn a_deployment_to_another_alias_leaves_live_and_its_triggers_alone() {
    let (house, _) = house().await;
    deployed(&house, "aside", 1).await;
    let cron = CronTrigger {
        name: parse("tick"),
        schedule: CronSchedule::new("@hourly", "UTC").unwrap(),
        missed: MissedTicks::Once,
        overlap: Overlap::Allow,
        jitter: Span::from_millis(0),
        path: "/".to_owned(),
        input: None,
    };
    let triggers = vec![TriggerSettings::Cron(Box::new(cron))];
    let target = Target::Alias(parse("staging"));
    let deployed = house
        .deploy_to("aside", target, |settings| {
            settings.triggers.extend(triggers);
            settings.scaling.min = 3;
        })
        .await
        .unwrap();
    assert_eq!((deployed.version.number, deployed.deployment.to), (2, Some(2)));
    let record = &entry(&house, "aside").record;
    assert_eq!((record.live().unwrap().version, record.min_instances), (1, 0));
    assert!(house.engine.triggers.of(record.id).is_empty());
    // What is promoted brings its triggers.
    house.engine.deployments.set_alias(&entry(&house, "aside"), &AliasName::live(), to(2)).await.unwrap();
    let record = &entry(&house, "aside").record;
    assert_eq!((house.engine.triggers.of(record.id).len(), record.min_instances), (1, 3));
}

#[tokio::test]
async fn a_preview_is_private_ends_by_itself_and_is_renewed() {
    let (house, clock) = house().await;
    let preview = || Target::Preview(parse("branch-x"), HOUR);
    let public = |settings: &mut faas_types::FunctionSettings| settings.auth = AuthMode::Public;
    let first = house.deploy_to("new", preview(), public).await.unwrap();
    assert_eq!(route(&house, "new", "live").await.err().unwrap().code, Code::FunctionNotFound);
    assert!(!route(&house, "new", "branch-x").await.unwrap().is_public());
    assert!(!route(&house, "new", "1").await.unwrap().is_public(), "nor by its number");
    clock.advance(HOUR - Duration::from_secs(1));
    house.deploy_to("new", preview(), public).await.unwrap();
    clock.advance(HOUR - Duration::from_secs(1));
    assert_eq!(route(&house, "new", "branch-x").await.unwrap().version.number, 2, "renewed");
    let refused = house.engine.deployments.set_alias(&first.entry, &parse("branch-x"), to(1)).await.err().unwrap();
    assert_eq!(refused.code, Code::Conflict);
    clock.advance(Duration::from_secs(1));
    assert_eq!(route(&house, "new", "branch-x").await.err().unwrap().code, Code::NotFound, "to the moment");
    for _ in 0..500 {
        if entry(&house, "new").record.aliases.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let events = house.engine.deployments.list(&entry(&house, "new")).await.unwrap();
    let last = events.last().map(|event| (event.kind, event.by.clone()));
    assert_eq!(last, Some((DeploymentKind::Expire, Some(Mover::Platform))));
    // One that is put behind live is as public as it says.
    house.engine.deployments.set_alias(&entry(&house, "new"), &AliasName::live(), to(2)).await.unwrap();
    assert!(route(&house, "new", "live").await.unwrap().is_public());
}

#[tokio::test]
async fn live_is_no_preview_and_an_alias_that_stays_is_none_either() {
    let (house, _) = house().await;
    deployed(&house, "kinds", 1).await;
    house.engine.deployments.set_alias(&entry(&house, "kinds"), &parse("staging"), to(1)).await.unwrap();
    for (alias, code) in [("live", Code::InvalidConfiguration), ("staging", Code::Conflict)] {
        let refused = house.deploy_to("kinds", Target::Preview(parse(alias), HOUR), |_| {}).await;
        assert_eq!(refused.err().unwrap().code, code);
    }
    house.deploy_to("kinds", Target::Preview(parse("fix"), HOUR), |_| {}).await.unwrap();
    let refused = house.deploy_to("kinds", Target::Alias(parse("fix")), |_| {}).await;
    assert_eq!(refused.err().unwrap().code, Code::Conflict);
    assert_eq!(entry(&house, "kinds").record.latest_version, 2, "what is refused makes no version");
}

#[tokio::test]
async fn a_good_canary_climbs_and_takes_over_also_across_a_restart() {
    let (house, clock) = house().await;
    deployed(&house, "tried", 1).await;
    house.deploy_to("tried", Target::live(), |settings| settings.canary = Some(policy())).await.unwrap();
    let canary = |entry: &FunctionEntry| entry.record.canary.map(|canary| canary.step);
    assert_eq!(canary(&entry(&house, "tried")), Some(0));
    assert_eq!(entry(&house, "tried").record.live().unwrap().split, Some(Split { version: 2, share: share(100) }));
    clock.advance(Duration::from_secs(121));
    calls_until(&house, "/", "2", |entry| canary(entry) == Some(1)).await;
    // The next step's time begins with it, and calls alone do not end it.
    let house = house.reopened().await;
    for _ in 0..20 {
        house.send(route(&house, "tried", "2").await.unwrap(), "/").await.unwrap();
    }
    assert_eq!(canary(&entry(&house, "tried")), Some(1));
    clock.advance(Duration::from_secs(121));
    calls_until(&house, "/", "2", |entry| canary(entry).is_none()).await;
    let alias = entry(&house, "tried").record.live().unwrap().clone();
    assert_eq!((alias.version, alias.split), (2, None));
    let events: Vec<_> = house.engine.deployments.list(&entry(&house, "tried")).await.unwrap();
    let movers: Vec<_> = events.iter().map(|event| (event.kind, event.by.clone().unwrap())).collect();
    use DeploymentKind::{Canary, Deploy, Promote, Step};
    let platform = |kind| (kind, Mover::Platform);
    let policy = |kind| (kind, Mover::Canary);
    assert_eq!(movers, [platform(Deploy), platform(Canary), policy(Step), policy(Promote)]);
    assert_eq!(alias.moved_by, Some(Mover::Canary));
}

#[tokio::test]
async fn a_bad_canary_rolls_itself_back_and_is_no_way_back() {
    let (house, _) = house().await;
    deployed(&house, "tried", 2).await;
    house.deploy_to("tried", Target::live(), |settings| settings.canary = Some(policy())).await.unwrap();
    // Failures of the live version are not held against it.
    for _ in 0..20 {
        drop(house.send(route(&house, "tried", "2").await.unwrap(), "/raise").await);
    }
    assert!(entry(&house, "tried").record.canary.is_some());
    calls_until(&house, "/raise", "3", |entry| entry.record.canary.is_none()).await;
    let alias = entry(&house, "tried").record.live().unwrap().clone();
    assert_eq!((alias.version, alias.split), (2, None));
    let last = house.engine.deployments.list(&entry(&house, "tried")).await.unwrap().pop().unwrap();
    assert_eq!(
        (last.kind, last.from, last.to, last.by),
        (DeploymentKind::Breach, Some(3), Some(2), Some(Mover::Canary))
    );
    assert!(last.note.unwrap().contains("too many calls failed"));
    let back = house.engine.deployments.rollback(&entry(&house, "tried"), None, None, somebody()).await.unwrap();
    assert_eq!((back.version.number, back.deployment.by), (1, Some(somebody())));
    assert_eq!(back.entry.record.live().unwrap().moved_by, Some(somebody()));
}

#[tokio::test]
async fn a_canary_is_ended_by_hand_by_a_rollback_and_by_the_next_deployment() {
    let (house, _) = house().await;
    deployed(&house, "hand", 1).await;
    let asks = |settings: &mut faas_types::FunctionSettings| settings.canary = Some(policy());
    let live = || {
        let entry = entry(&house, "hand");
        (entry.record.live().unwrap().version, entry.record.canary.map(|canary| canary.version))
    };
    house.deploy_to("hand", Target::live(), asks).await.unwrap();
    house.deploy_to("hand", Target::live(), asks).await.unwrap();
    assert_eq!(live(), (1, Some(3)), "the next one takes its place");
    house.engine.deployments.promote_canary(&entry(&house, "hand"), None, somebody()).await.unwrap();
    assert_eq!(live(), (3, None));
    assert_eq!(
        house.engine.deployments.promote_canary(&entry(&house, "hand"), None, somebody()).await.err().unwrap().code,
        Code::NotFound
    );
    house.deploy_to("hand", Target::live(), asks).await.unwrap();
    let back = house.engine.deployments.rollback(&entry(&house, "hand"), None, None, somebody()).await.unwrap();
    assert_eq!((live(), back.deployment.kind), ((3, None), DeploymentKind::Abort));
    house.deploy_to("hand", Target::live(), asks).await.unwrap();
    house.engine.deployments.set_alias(&entry(&house, "hand"), &AliasName::live(), to(1)).await.unwrap();
    assert_eq!(live(), (1, None), "set by hand");
    house.deploy_to("hand", Target::live(), |_| {}).await.unwrap();
    assert_eq!(live(), (6, None), "without a policy it takes over at once");
    // A split by hand goes back to its first version.
    house.engine.deployments.set_alias(&entry(&house, "hand"), &AliasName::live(), split(6, 5, 300)).await.unwrap();
    let back = house.engine.deployments.rollback(&entry(&house, "hand"), None, None, somebody()).await.unwrap();
    assert_eq!((back.version.number, back.deployment.from), (6, Some(5)));
}

#[tokio::test]
async fn records_say_only_what_there_is_to_say() {
    let (house, _) = house().await;
    deployed(&house, "old", 2).await;
    let key = Key::new(house.engine.default_project(), Collection::Functions, "old");
    let stored = house.registry.get(&key).await.unwrap().unwrap();
    let text = String::from_utf8(stored.value.to_vec()).unwrap();
    for fresh in ["split", "sticky", "expires_at", "canary", "author"] {
        assert!(!text.contains(fresh), "{fresh} is written only where it says something");
    }
}

#[tokio::test]
async fn versions_that_nothing_needs_go_and_no_others() {
    let clock = Arc::new(ManualClock::default());
    let house = House::timed(Arc::clone(&clock) as _, |settings| settings.versions_kept = 3).await;
    let numbers = async || -> Vec<u32> {
        let versions = house
            .engine
            .deployments
            .versions(&entry(&house, "aged"), faas_engine::VersionWalk { after: None, descends: true, limit: 100 })
            .await
            .unwrap();
        versions.iter().map(|version| version.number).collect()
    };
    deployed(&house, "aged", 4).await;
    house.engine.deployments.set_alias(&entry(&house, "aged"), &parse("pinned"), split(2, 3, 500)).await.unwrap();
    house.engine.functions.pause(&entry(&house, "aged"), true).await.unwrap();
    let waits = route(&house, "aged", "1").await.unwrap();
    let request = faas_engine::CallRequest::http(
        TriggerKind::Http,
        faas_engine::HttpRequest { method: "POST".into(), path: "/".into(), ..faas_engine::HttpRequest::default() },
        bytes::Bytes::new(),
    );
    let run = house.engine.runs.accept(waits, request, RunOptions::default()).await.unwrap().run;
    deployed(&house, "aged", 6).await;
    assert_eq!(numbers().await.len(), 10, "all of them were behind an alias lately");
    clock.advance(2 * HOUR);
    deployed(&house, "aged", 1).await;
    let spent = async |wanted: &[u32]| {
        for _ in 0..500 {
            if numbers().await == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?} instead of {wanted:?}", numbers().await);
    };
    // The three newest; 8 as a way back and 10 as what was live just now; 2 and 3 by alias; 1 by a run that waits.
    spent(&[11, 10, 9, 8, 3, 2, 1]).await;
    house.engine.functions.pause(&entry(&house, "aged"), false).await.unwrap();
    let project = house.engine.default_project();
    assert_eq!(house.engine.runs.await_run(project, run, Duration::from_secs(5)).await.unwrap().function().version, 1);
    for _ in 0..500 {
        if house.engine.runs.backlog_of(entry(&house, "aged").record.id) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    house.engine.deployments.remove_alias(&entry(&house, "aged"), &parse("pinned"), somebody()).await.unwrap();
    clock.advance(2 * HOUR);
    // A call that is under way keeps its version.
    let used = route(&house, "aged", "2").await.unwrap();
    let mut call = Box::pin(house.send(used, "/never"));
    let before = house.launcher.invoked.load(Ordering::Acquire);
    tokio::select! {
        _ = &mut call => panic!("a call that never ends has ended"),
        () = until("it is under way", || house.launcher.invoked.load(Ordering::Acquire) > before) => {}
    }
    deployed(&house, "aged", 1).await;
    for _ in 0..500 {
        if !numbers().await.contains(&3) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let left = numbers().await;
    assert!(left.contains(&2) && !left.contains(&3) && left.starts_with(&[12, 11, 10]), "{left:?}");
    let fault =
        house.engine.deployments.set_alias(&entry(&house, "aged"), &AliasName::live(), to(3)).await.err().unwrap();
    assert_eq!(fault.code, Code::NotFound);
    assert_eq!(
        house.engine.deployments.rollback(&entry(&house, "aged"), None, None, somebody()).await.unwrap().version.number,
        11
    );
}
