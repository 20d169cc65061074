//! Stages: what instances get, when they are replaced, and what is never kept.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use faas_engine::{CallRequest, HttpRequest, RunOptions, SecretRecord, Selector};
use faas_ports::{Collection, Entry, Expect, Key, LogQuery, Secret, Write};
use faas_types::{Alias, AliasName, Code, Fault, FunctionRecord, RunState, SecretName, Stage, TriggerKind, limits};

use crate::house::{House, parse, read, scaling, until};

/// Takes vars of a stage as they are.
fn any(_: &BTreeMap<String, String>) -> Result<(), Fault> {
    Ok(())
}

const VALUE: &str = "s3cret-of-many-letters";

impl House {
    async fn set(&self, stage: Stage, name: &str, value: &str) -> Result<u64, Fault> {
        let (project, name): (_, SecretName) = (self.engine.default_project(), parse(name));
        let secret = Secret::new(value.as_bytes().to_vec());
        Ok(self.engine.secrets.set(project, stage, &name, secret).await?.record.made)
    }

    async fn unset(&self, stage: Stage, name: &str, force: bool) -> Result<(), Fault> {
        self.engine.secrets.unset(self.engine.default_project(), stage, &parse(name), force).await
    }

    async fn coloured(&self, name: &str, colour: &str) -> Result<(), Fault> {
        let vars = [("COLOUR".to_owned(), colour.to_owned())].into();
        self.deploy_as(name, |settings| (settings.vars, settings.scaling) = (vars, scaling(2, 1))).await.map(drop)
    }

    /// Points an alias to a version, as an owner would.
    async fn point(&self, name: &str, alias: &str, version: u32) {
        let key = Key::new(self.engine.default_project(), Collection::Functions, name);
        let entry = self.registry.get(&key).await.unwrap().unwrap();
        let mut record: FunctionRecord = serde_json::from_slice(&entry.value).unwrap();
        let expires_at =
            alias.starts_with("preview").then(|| record.updated_at.plus(std::time::Duration::from_secs(86_400)));
        record.aliases.insert(parse(alias), Alias { expires_at, ..Alias::to(version, record.updated_at) });
        let value = serde_json::to_vec(&record).unwrap().into();
        self.registry.commit(vec![Write::Put { key, value, expect: Expect::Revision(entry.revision) }]).await.unwrap();
        let alias: AliasName = parse(alias);
        for _ in 0..500 {
            let known = self.engine.catalog().find(self.engine.default_project(), name).unwrap();
            if known.record.aliases.contains_key(&alias) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the catalogue did not learn of `{alias}`");
    }

    async fn by(&self, name: &str, selector: &str, path: &str) -> String {
        let selector: Selector = selector.parse().unwrap();
        let route = self.engine.runs.route(self.engine.default_project(), name, &selector).await.unwrap();
        read(self.send(route, path).await.unwrap()).await.unwrap()
    }

    async fn secret_row(&self, name: &str) -> Entry {
        let key = Key::new(self.engine.default_project(), Collection::Secrets, name);
        self.registry.get(&key).await.unwrap().unwrap()
    }
}

/// The instance that answered, and the var that it has.
fn told(text: &str) -> (&str, &str) {
    let mut words = text.split(' ').skip(1);
    (words.next().unwrap(), words.next().unwrap())
}

#[tokio::test]
async fn a_secret_reaches_the_next_call_without_a_deployment() {
    let house = House::open().await;
    let refused = house.coloured("pay", "x-${secrets.KEY}").await.unwrap_err();
    assert_eq!(refused.code, Code::InvalidConfiguration);
    assert!(refused.message.contains("vars.COLOUR") && refused.message.contains("`KEY`"), "{refused:?}");
    assert_eq!(refused.hint.as_deref(), Some("set it: faas secrets set KEY"));
    assert_eq!(house.set(Stage::Prod, "KEY", "first").await.unwrap(), 1);
    house.coloured("pay", "x-${secrets.KEY}").await.unwrap();
    let before = house.text("pay", "/").await.unwrap();
    assert!(before.ends_with(" x-first"), "{before}");
    assert_eq!(house.set(Stage::Prod, "OTHER", "nobody uses it").await.unwrap(), 1);
    assert_eq!(house.text("pay", "/").await.unwrap(), before, "replaced though nothing of it changed");
    let (slow, set) = tokio::join!(house.text("pay", "/slow"), house.set(Stage::Prod, "KEY", "second"));
    assert!(slow.unwrap().contains(" x-"), "a call under way failed");
    assert_eq!(set.unwrap(), 2);
    assert!(house.text("pay", "/").await.unwrap().ends_with(" x-second"));
    house.alive(1).await;
}

/// Each change closes the pool for whose instance the call waits. Where changes are faster than starts, the call must not
/// move on for ever.
#[tokio::test]
async fn a_call_is_served_while_its_secrets_change_faster_than_an_instance_starts() {
    let house = House::open().await;
    house.set(Stage::Prod, "KEY", "value-0").await.unwrap();
    house.coloured("pay", "x-${secrets.KEY}").await.unwrap();
    house.alive(0).await;
    house.launcher.held.store(true, Ordering::Release);
    let changes = async {
        for n in 1..=20 {
            until("the call waits", || house.engine.scheduler().snapshot().waiting == 1).await;
            house.set(Stage::Prod, "KEY", &format!("value-{n}")).await.unwrap();
        }
        house.launcher.held.store(false, Ordering::Release);
        house.launcher.go.notify_waiters();
    };
    let (text, ()) = tokio::join!(house.text("pay", "/"), changes);
    assert!(text.unwrap().contains(" x-value-"), "it has a value that held while it waited");
    assert!(house.text("pay", "/").await.unwrap().ends_with(" x-value-20"), "the next call has the newest");
    house.alive(1).await;
}

#[tokio::test]
async fn versions_are_bounded_and_come_back_as_new_ones() {
    let house = House::open().await;
    let (project, name) = (house.engine.default_project(), parse::<SecretName>("KEY"));
    for n in 1..=limits::SECRET_VERSIONS_MAX as u64 + 2 {
        assert_eq!(house.set(Stage::Prod, "KEY", &format!("value {n}")).await.unwrap(), n);
    }
    house.coloured("pay", "${secrets.KEY}").await.unwrap();
    let restored = house.engine.secrets.restore(project, Stage::Prod, &name, 4).await.unwrap();
    assert_eq!((restored.record.made, restored.record.versions[0].restored_from), (13, Some(4)));
    assert_eq!(restored.record.versions.len(), limits::SECRET_VERSIONS_MAX);
    assert!(house.text("pay", "/").await.unwrap().ends_with(" value 4".rsplit(' ').next().unwrap()));
    let gone = house.engine.secrets.restore(project, Stage::Prod, &name, 1).await.unwrap_err();
    assert_eq!(gone.code, Code::NotFound);
    let unusable = ["", "a\0b", &"x".repeat(limits::SECRET_VALUE_MAX + 1)];
    for value in unusable {
        assert_eq!(house.set(Stage::Prod, "KEY", value).await.unwrap_err().code, Code::InvalidConfiguration);
    }
}

#[tokio::test]
async fn a_secret_in_use_is_kept_unless_forced() {
    let house = House::open().await;
    house.set(Stage::Prod, "KEY", "value").await.unwrap();
    house.coloured("pay", "${secrets.KEY}").await.unwrap();
    let refused = house.unset(Stage::Prod, "KEY", false).await.unwrap_err();
    assert_eq!(refused.code, Code::Conflict);
    assert!(refused.message.contains("pay"), "{refused:?}");
    house.unset(Stage::Prod, "KEY", true).await.unwrap();
    let failed = house.call("pay", "/").await.err().unwrap().fault;
    assert_eq!(failed.code, Code::SecretUnusable);
    assert!(failed.message.contains("KEY") && failed.hint.unwrap().contains("faas secrets set KEY"));
    house.set(Stage::Prod, "KEY", "again").await.unwrap();
    assert!(house.text("pay", "/").await.unwrap().ends_with(" again"));
    assert_eq!(house.unset(Stage::Prod, "NONE", false).await.unwrap_err().code, Code::NotFound);
}

#[tokio::test]
async fn stages_of_one_version_never_share_an_instance() {
    let house = House::open().await;
    house.set(Stage::Prod, "KEY", "prod-value").await.unwrap();
    house.coloured("shop", "${secrets.KEY}").await.unwrap();
    house.point("shop", "staging", 1).await;
    house.point("shop", "preview-x", 1).await;
    let live = house.by("shop", "live", "/").await;
    let staging = house.by("shop", "staging", "/").await;
    assert_eq!((told(&live).1, told(&staging).1), ("prod-value", "prod-value"), "inherited");
    assert_ne!(told(&live).0, told(&staging).0, "one instance for two stages");
    house.set(Stage::Staging, "KEY", "staging-value").await.unwrap();
    house.set(Stage::Dev, "KEY", "dev-value").await.unwrap();
    for (selector, value) in
        [("live", "prod-value"), ("1", "prod-value"), ("staging", "staging-value"), ("preview-x", "dev-value")]
    {
        assert_eq!(told(&house.by("shop", selector, "/").await).1, value, "{selector}");
    }
    assert_eq!(told(&house.by("shop", "live", "/").await).0, told(&live).0, "prod was replaced for staging's sake");
    house.alive(3).await;
    let users = house.engine.secrets.get(house.engine.default_project(), Stage::Staging, &parse("KEY")).await.unwrap();
    assert_eq!(
        (users.stage, users.used_by.unwrap().into_iter().collect::<Vec<_>>()),
        (Stage::Staging, vec!["shop".to_owned()])
    );
    // What it inherits instead is there, so nothing would break.
    house.unset(Stage::Staging, "KEY", false).await.unwrap();
    assert_eq!(told(&house.by("shop", "staging", "/").await).1, "prod-value");
}

#[tokio::test]
async fn a_run_for_later_keeps_its_stage() {
    let house = House::open().await;
    house.set(Stage::Prod, "KEY", "prod-value").await.unwrap();
    house.set(Stage::Staging, "KEY", "staging-value").await.unwrap();
    house.coloured("shop", "${secrets.KEY}").await.unwrap();
    house.point("shop", "staging", 1).await;
    let project = house.engine.default_project();
    let route = house.engine.runs.route(project, "shop", &"staging".parse().unwrap()).await.unwrap();
    let request = CallRequest::http(
        TriggerKind::Http,
        HttpRequest { method: "POST".into(), path: "/".into(), ..HttpRequest::default() },
        Bytes::new(),
    );
    let accepted = house.engine.runs.accept(route, request, RunOptions::default()).await.unwrap();
    let ended = house.engine.runs.await_run(project, accepted.run, std::time::Duration::from_secs(5)).await.unwrap();
    assert_eq!((ended.state(), ended.stage), (RunState::Succeeded, Stage::Staging));
    let staging = house.by("shop", "staging", "/").await;
    assert_eq!(Some(ended.attempts[0].instance.unwrap().to_string().as_str()), Some(told(&staging).0));
}

#[tokio::test]
async fn a_destination_runs_in_the_stage_of_its_alias() {
    let house = House::open().await;
    house.set(Stage::Prod, "KEY", "prod-value").await.unwrap();
    house.set(Stage::Staging, "KEY", "staging-value").await.unwrap();
    house.coloured("shop", "${secrets.KEY}").await.unwrap();
    house.point("shop", "staging", 1).await;
    house.deploy_as("first", |settings| settings.background.on_success = Some(parse("shop:staging"))).await.unwrap();
    let project = house.engine.default_project();
    let route = house.engine.runs.route(project, "first", &"live".parse().unwrap()).await.unwrap();
    let request = CallRequest::http(
        TriggerKind::Http,
        HttpRequest { method: "POST".into(), path: "/".into(), ..HttpRequest::default() },
        Bytes::new(),
    );
    let first = house.engine.runs.accept(route, request, RunOptions::default()).await.unwrap().run;
    let patience = std::time::Duration::from_secs(60);
    let first = house.engine.runs.await_run(project, first, patience).await.unwrap();
    let next = first.completion.unwrap().destination.unwrap().run_id.unwrap();
    let next = house.engine.runs.await_run(project, next, patience).await.unwrap();
    assert_eq!((next.state(), next.stage), (RunState::Succeeded, Stage::Staging));
    let staging = house.by("shop", "staging", "/").await;
    assert_eq!(next.attempts[0].instance.unwrap().to_string(), told(&staging).0);
}

#[tokio::test]
async fn layers_of_vars_win_in_their_order() {
    let house = House::open().await;
    let project = house.engine.default_project();
    let colour = |value: &str| BTreeMap::from([("COLOUR".to_owned(), value.to_owned())]);
    house.deploy("paint", scaling(1, 1)).await.unwrap();
    house.point("paint", "dev", 1).await;
    house.engine.vars.set_for_stage(project, Stage::Prod, colour("project-prod"), any).await.unwrap();
    let both = async || {
        let (live, dev) = (house.by("paint", "live", "/").await, house.by("paint", "dev", "/").await);
        (told(&live).1.to_owned(), told(&dev).1.to_owned())
    };
    assert_eq!(both().await, ("project-prod".into(), "project-prod".into()));
    house.engine.vars.set_for_stage(project, Stage::Dev, colour("project-dev"), any).await.unwrap();
    assert_eq!(both().await, ("project-prod".into(), "project-dev".into()));
    let entry = || house.engine.catalog().find(project, "paint").unwrap();
    house.engine.vars.set_for_function(&entry(), Stage::Prod, colour("function-prod")).await.unwrap();
    assert_eq!(both().await, ("function-prod".into(), "function-prod".into()));
    house.engine.vars.set_for_function(&entry(), Stage::Dev, colour("function-dev")).await.unwrap();
    assert_eq!(both().await, ("function-prod".into(), "function-dev".into()));
    house.engine.vars.unset_for_function(&entry(), Stage::Dev, "COLOUR").await.unwrap();
    house.engine.vars.unset_for_function(&entry(), Stage::Prod, "COLOUR").await.unwrap();
    house.engine.vars.unset_for_stage(project, Stage::Dev, "COLOUR", any).await.unwrap();
    assert_eq!(both().await, ("project-prod".into(), "project-prod".into()));
    let missing = house.engine.vars.set_for_stage(project, Stage::Dev, colour("${secrets.NO}"), any).await.unwrap_err();
    assert_eq!(
        (missing.code, missing.hint.as_deref()),
        (Code::InvalidConfiguration, Some("set it: faas secrets set NO --stage dev"),)
    );
}

#[tokio::test]
async fn swapped_rows_open_nowhere() {
    let house = House::open().await;
    house.set(Stage::Prod, "KEY", VALUE).await.unwrap();
    house.set(Stage::Prod, "OTHER", "another-secret").await.unwrap();
    house.coloured("pay", "${secrets.KEY}").await.unwrap();
    let (key, other) = (house.secret_row("prod/KEY").await, house.secret_row("prod/OTHER").await);
    let put = |key: &Entry, value: &Entry| Write::Put {
        key: key.key.clone(),
        value: value.value.clone(),
        expect: Expect::Any,
    };
    house.registry.commit(vec![put(&key, &other), put(&other, &key)]).await.unwrap();
    let reopened = house.reopened().await;
    let failed = reopened.call("pay", "/").await.err().unwrap().fault;
    assert_eq!(failed.code, Code::SecretUnusable);
    assert!(failed.message.contains("does not open"), "{failed:?}");
    reopened.alive(0).await;
}

#[tokio::test]
async fn another_key_is_under_everything_and_nothing_is_lost() {
    let house = House::open().await;
    house.set(Stage::Prod, "KEY", "before").await.unwrap();
    house.set(Stage::Prod, "KEY", VALUE).await.unwrap();
    house.set(Stage::Dev, "OTHER", "another-secret").await.unwrap();
    house.coloured("pay", "${secrets.KEY}").await.unwrap();
    house.engine.runs.rotate_signing_secret(house.engine.default_project(), None).await.unwrap();
    let instance = house.text("pay", "/").await.unwrap();
    let done = house.engine.rekeyer.rekey().await.unwrap();
    assert_eq!((done.resealed, done.unreadable), (4, Vec::new()));
    assert_eq!(house.text("pay", "/").await.unwrap(), instance, "a new key is no new secret");
    let row = house.secret_row("prod/KEY").await;
    let record: SecretRecord = serde_json::from_slice(&row.value).unwrap();
    assert_eq!(record.versions.len(), 2);
    for version in &record.versions {
        let sealed = BASE64_STANDARD.decode(&version.sealed).unwrap();
        let name = "secrets/prod/KEY".to_owned();
        let place = faas_ports::SecretPlace { project: row.key.project, name, version: version.number };
        assert_eq!(house.ports.vault.renew(&place, &sealed).unwrap(), None, "not under the newest key");
    }
    let broken =
        Write::Put { key: row.key.clone(), value: house.secret_row("dev/OTHER").await.value, expect: Expect::Any };
    house.registry.commit(vec![broken]).await.unwrap();
    assert_eq!(house.engine.rekeyer.rekey().await.unwrap().unreadable, ["secrets/prod/KEY"]);
}

#[tokio::test]
async fn what_is_kept_of_a_run_holds_no_secret() {
    let house = House::open().await;
    house.set(Stage::Prod, "KEY", VALUE).await.unwrap();
    house.coloured("leaky", "${secrets.KEY}").await.unwrap();
    let call = house.call("leaky", "/leak").await.unwrap();
    let run = call.run;
    assert!(read(call).await.unwrap().contains(VALUE), "the caller gets what the function answers");
    let kept = house.run(run).await.result.unwrap();
    assert_eq!(kept.value().unwrap(), serde_json::json!({ "key": "[secret KEY]" }));
    let failure = house.call("leaky", "/leak-raise").await.err().unwrap();
    let shown = format!("{:?} {:?}", failure.fault, house.run(failure.run.unwrap()).await);
    assert!(shown.contains("[secret KEY]") && !shown.contains(VALUE), "{shown}");
    let project = house.engine.default_project();
    let page =
        house.engine.history().logs(&LogQuery { run: Some(run), ..LogQuery::newest(project, 10) }).await.unwrap();
    let lines: Vec<&str> = page.lines.iter().map(|(_, line)| line.message.as_str()).collect();
    assert_eq!(lines, ["key is [secret KEY]"]);
}
