//! Whatever is done to both, the SQLite queue behaves as the one in memory.

use std::sync::Arc;
use std::time::Duration;

use faas_ports::{Lease, NewItem, RunQueue};
use faas_store::{Store, StoreConfig};
use faas_testkit::MemoryQueue;
use faas_testkit::fixture::{at, fresh, new_item};
use faas_types::{FunctionId, ProjectId};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// One step. Numbers choose among the leases handed out so far, held or not.
#[derive(Clone, Debug)]
enum Step {
    Enqueue { key: Option<u8>, priority: u8, delay: u64 },
    Lease { max: u32, ttl: u64 },
    Ack(prop::sample::Index),
    Nak(prop::sample::Index, u64),
    DeadLetter(prop::sample::Index),
    Extend(prop::sample::Index, u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (prop::option::of(0_u8..3), 0_u8..3, 0_u64..60)
            .prop_map(|(key, priority, delay)| Step::Enqueue { key, priority, delay }),
        4 => (0_u32..5, 1_u64..80).prop_map(|(max, ttl)| Step::Lease { max, ttl }),
        3 => index().prop_map(Step::Ack),
        2 => (index(), 0_u64..80).prop_map(|(lease, delay)| Step::Nak(lease, delay)),
        1 => index().prop_map(Step::DeadLetter),
        1 => (index(), 0_u64..80).prop_map(|(lease, delay)| Step::Extend(lease, delay)),
        2 => (0_u64..50).prop_map(Step::Wait),
    ]
}

/// A queue under test with the leases that it handed out.
struct Side {
    queue: Arc<dyn RunQueue>,
    leases: Vec<Lease>,
}

struct Owner {
    project: ProjectId,
    function: FunctionId,
}

// === impl Side ===

impl Side {
    /// What a step gives, in words that both sides must agree on. Epochs may differ: only their order means anything.
    async fn take(&mut self, step: &Step, item: &NewItem, now: u64) -> String {
        let chosen = |index: &prop::sample::Index| self.leases.get(index.index(self.leases.len().max(1)));
        let done = match step {
            Step::Enqueue { .. } => self.queue.enqueue(vec![item.clone()]).await,
            Step::Wait(_) => Ok(()),
            Step::Lease { max, ttl } => {
                let handed = self.queue.lease("test", *max, Duration::from_millis(*ttl), at(now)).await.expect("lease");
                let words = handed.iter().map(|lease| (lease.item.clone(), lease.expires_at)).collect::<Vec<_>>();
                self.leases.extend(handed);
                return format!("{words:?}");
            }
            Step::Ack(index) => match chosen(index) {
                Some(lease) => self.queue.ack(lease).await,
                None => Ok(()),
            },
            Step::Nak(index, delay) => match chosen(index) {
                Some(lease) => self.queue.nak(lease, at(now + delay)).await,
                None => Ok(()),
            },
            Step::DeadLetter(index) => match chosen(index) {
                Some(lease) => self.queue.dead_letter(lease, "given up").await,
                None => Ok(()),
            },
            Step::Extend(index, delay) => match chosen(index) {
                Some(lease) => self.queue.extend(lease, at(now + delay)).await,
                None => Ok(()),
            },
        };
        format!("{done:?}")
    }
}

async fn compare(sqlite: Arc<dyn RunQueue>, steps: &[Step]) -> Result<(), TestCaseError> {
    let owner = Owner { project: fresh(), function: fresh() };
    let mut model = Side { queue: Arc::new(MemoryQueue::default()), leases: Vec::new() };
    let mut tested = Side { queue: sqlite, leases: Vec::new() };
    let mut now = 0;
    for step in steps {
        if let Step::Wait(span) = step {
            now += span;
        }
        let mut item = new_item(owner.project, owner.function);
        if let Step::Enqueue { key, priority, delay } = step {
            item.ordering_key = key.map(|key| key.to_string());
            item.priority = *priority;
            item.not_before = at(now + delay);
        }
        let wanted = model.take(step, &item, now).await;
        let found = tested.take(step, &item, now).await;
        prop_assert_eq!(found, wanted, "after {:?} at {}", step, now);
        let wanted = model.queue.depth(owner.project, Some(owner.function)).await.expect("depth");
        let found = tested.queue.depth(owner.project, Some(owner.function)).await.expect("depth");
        prop_assert_eq!(found, wanted, "after {:?} at {}", step, now);
    }
    Ok(())
}

/// Leaves nothing for the next case.
async fn drain(queue: &dyn RunQueue) {
    loop {
        let leases = queue.lease("drain", 1000, Duration::from_secs(1), at(1 << 40)).await.expect("lease");
        if leases.is_empty() {
            return;
        }
        for lease in &leases {
            queue.ack(lease).await.expect("ack");
        }
    }
}

#[test]
fn sqlite_and_memory_tell_the_same_story() {
    let dir = tempfile::tempdir().expect("temp dir");
    let config = StoreConfig { low_water: 0, ballast: 0, ..StoreConfig::new(dir.path()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let store = Store::open(&config).expect("open");
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    let told = TestRunner::new(config).run(&prop::collection::vec(step(), 1..60), |steps| {
        runtime.block_on(async {
            drain(&*store.queue()).await;
            compare(store.queue(), &steps).await
        })
    });
    if let Err(difference) = told {
        panic!("{difference}");
    }
}
