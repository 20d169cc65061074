//! Each table goes on following the registry after its watch lagged and could not be opened, and drops what was deleted
//! meanwhile.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use faas_catalog::{
    Catalog, KeySettings, Keys, ProjectionStatus, SecretId, SecretRecord, VarStore, encode, function_key, secret_key,
    stage_vars_key,
};
use faas_ports::{Clock, Expect, Key, Registry, Secret, SystemClock, Write};
use faas_testkit::{MemoryVault, UnreliableRegistry};
use faas_types::{FunctionId, FunctionName, FunctionRecord, ProjectId, Scope, SecretName, Stage};
use serde::Serialize;

fn project() -> ProjectId {
    ProjectId::from_u128(1)
}

/// Waits for a state, which comes without time passing elsewhere.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never: {what}");
}

/// Commits as another server would.
async fn put<T: Serialize>(registry: &UnreliableRegistry, key: Key, record: &T) {
    let write = Write::Put { key, value: encode(record).unwrap(), expect: Expect::Any };
    registry.commit(vec![write]).await.expect("commits");
}

async fn delete(registry: &UnreliableRegistry, key: Key) {
    registry.commit(vec![Write::Delete { key, expect: Expect::Any }]).await.expect("commits");
}

/// Begins an outage and waits until the table has tried in vain to follow.
async fn begin_outage(registry: &UnreliableRegistry, status: impl Fn() -> ProjectionStatus) {
    registry.set_outage(true);
    until("it fails to follow", || status().failures >= 3).await;
    assert!(status().stale_for.is_some(), "it says that it is not current");
}

/// Ends the outage and waits until the table is current.
async fn end_outage(registry: &UnreliableRegistry, status: impl Fn() -> ProjectionStatus) {
    registry.set_outage(false);
    until("it is current", || status().stale_for.is_none()).await;
    assert_eq!(status().reloads, 1);
}

fn function(name: &FunctionName, id: u128) -> FunctionRecord {
    FunctionRecord::new(FunctionId::from_u128(id), project(), name.clone(), SystemClock.now())
}

#[tokio::test(start_paused = true)]
async fn a_key_revoked_elsewhere_during_an_outage_is_refused_after_it() {
    let registry = UnreliableRegistry::new();
    let open = || Keys::start(Arc::clone(&registry) as Arc<dyn Registry>, Arc::new(SystemClock), Arc::new(SystemClock));
    let (here, elsewhere) = (open().await.expect("starts"), open().await.expect("starts"));
    let key = elsewhere.mint(project(), KeySettings::new("ci", vec![Scope::Admin]), None).await.expect("mints");
    until("the key is known", || here.authenticate(&key.text).is_ok()).await;

    begin_outage(&registry, || here.status()).await;
    elsewhere.revoke(project(), key.record.id).await.expect("revokes");
    end_outage(&registry, || here.status()).await;
    let refusal = here.authenticate(&key.text).expect_err("it was revoked");
    assert!(refusal.message.contains("revoked"), "{refusal}");

    let second = elsewhere.mint(project(), KeySettings::new("ci", vec![Scope::Admin]), None).await.expect("mints");
    until("it follows again", || here.authenticate(&second.text).is_ok()).await;
}

#[tokio::test(start_paused = true)]
async fn functions_deleted_and_made_during_an_outage_are_known_after_it() {
    let registry = UnreliableRegistry::new();
    let [kept, gone, made]: [FunctionName; 3] = ["kept", "gone", "made"].map(|name| name.parse().unwrap());
    for (id, name) in [(1, &kept), (2, &gone)] {
        put(&registry, function_key(project(), name), &function(name, id)).await;
    }
    let catalog = Catalog::start(Arc::clone(&registry) as Arc<dyn Registry>).await.expect("starts");
    assert_eq!(catalog.count(project()), 2);

    begin_outage(&registry, || catalog.status()).await;
    delete(&registry, function_key(project(), &gone)).await;
    put(&registry, function_key(project(), &made), &function(&made, 3)).await;
    // What this process commits is seen all the same, and is not taken for deleted afterwards.
    let own: FunctionName = "own".parse().unwrap();
    put(&registry, function_key(project(), &own), &function(&own, 4)).await;
    let stored = registry.get(&function_key(project(), &own)).await.expect("reads").expect("is there");
    catalog.learn(function(&own, 4), stored.revision);
    assert!(catalog.by_name(project(), &gone).is_some() && catalog.by_name(project(), &made).is_none());
    end_outage(&registry, || catalog.status()).await;
    let names: Vec<String> =
        catalog.page(project(), None, 9).iter().map(|entry| entry.record.name.to_string()).collect();
    assert_eq!(names, ["kept", "made", "own"]);
    assert!(catalog.any_by_id(FunctionId::from_u128(2)).is_none());

    delete(&registry, function_key(project(), &kept)).await;
    until("it follows again", || catalog.by_name(project(), &kept).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn vars_and_secrets_changed_during_an_outage_are_known_after_it() {
    let (registry, vault) = (UnreliableRegistry::new(), Arc::new(MemoryVault::default()));
    let name: SecretName = "TOKEN".parse().unwrap();
    let id = SecretId { project: project(), stage: Stage::Prod, name: &name };
    let mut secret = SecretRecord::empty(SystemClock.now());
    secret.add(id, &*vault, &Secret::new(b"value".to_vec()), SystemClock.now()).expect("seals");
    let vars = |value: &str| BTreeMap::from([("MODE".to_owned(), value.to_owned())]);
    put(&registry, secret_key(project(), Stage::Prod, &name), &secret).await;
    put(&registry, stage_vars_key(project(), Stage::Prod), &vars("old")).await;
    put(&registry, stage_vars_key(project(), Stage::Dev), &vars("dev")).await;
    let store = VarStore::start(Arc::clone(&registry) as Arc<dyn Registry>, vault).await.expect("starts");
    assert!(store.of(project()).secret(Stage::Prod, &name).is_some());

    registry.set_outage(true);
    until("both fail to follow", || store.status().iter().all(|status| status.failures >= 3)).await;
    delete(&registry, secret_key(project(), Stage::Prod, &name)).await;
    delete(&registry, stage_vars_key(project(), Stage::Dev)).await;
    put(&registry, stage_vars_key(project(), Stage::Prod), &vars("new")).await;
    registry.set_outage(false);
    until("both are current", || store.status().iter().all(|status| status.stale_for.is_none())).await;
    let now = store.of(project());
    assert!(now.secret(Stage::Prod, &name).is_none());
    assert_eq!((now.vars(Stage::Prod), now.vars(Stage::Dev)), (Some(&vars("new")), None));

    put(&registry, stage_vars_key(project(), Stage::Dev), &vars("again")).await;
    until("it follows again", || store.of(project()).vars(Stage::Dev) == Some(&vars("again"))).await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_cannot_be_read_is_left_out() {
    let registry = UnreliableRegistry::new();
    let name: FunctionName = "hello".parse().unwrap();
    put(&registry, function_key(project(), &name), &function(&name, 1)).await;
    let catalog = Catalog::start(Arc::clone(&registry) as Arc<dyn Registry>).await.expect("starts");
    put(&registry, function_key(project(), &name), &"nonsense").await;
    until("it is left out", || catalog.by_name(project(), &name).is_none()).await;
    put(&registry, function_key(project(), &name), &function(&name, 1)).await;
    until("it is back", || catalog.by_name(project(), &name).is_some()).await;
}
