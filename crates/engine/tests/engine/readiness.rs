//! When the server says that proxies should send it no calls.

use std::sync::Arc;
use std::time::Duration;

use faas_engine::{Ports, STALE_MAX};
use faas_testkit::{MemoryBlobs, UnreliableRegistry};
use faas_types::Code;

use crate::house::{House, ports_over, until};

#[tokio::test]
async fn a_server_whose_tables_stay_stale_is_not_ready_until_they_follow_again() {
    let registry = UnreliableRegistry::new();
    let ports = ports_over(Arc::new(MemoryBlobs::default()));
    let house = House::of(Ports { registry: Arc::clone(&registry) as _, ..ports }).await;
    let engine = &house.engine;
    engine.check_ready().expect("its tables are current");

    registry.set_outage(true);
    until("every table is stale", || engine.projections().iter().all(|status| status.stale_for.is_some())).await;
    engine.check_ready().expect("an outage that has only begun");
    tokio::time::pause();
    tokio::time::advance(STALE_MAX).await;
    tokio::time::resume();
    let refusal = engine.check_ready().expect_err("its tables are stale");
    assert_eq!(refusal.code, Code::Unavailable);
    let names = engine.projections().iter().any(|status| refusal.message.contains(status.collection.as_str()));
    assert!(names && refusal.message.contains("has not followed the registry for 3"), "{refusal}");
    assert!(engine.is_ready(), "calls are taken all the same");

    registry.set_outage(false);
    until("it is ready", || engine.check_ready().is_ok()).await;
    house.engine.stop(Duration::from_secs(5)).await;
    assert_eq!(engine.check_ready().expect_err("it has stopped").message, "the server is stopping");
}
