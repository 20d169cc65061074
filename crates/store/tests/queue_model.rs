//! Whatever is done to both, the SQLite queue behaves as the one in memory, and so do the histories that show it.

use std::sync::Arc;
use std::time::Duration;

use faas_ports::{
    ByteBounds, FollowUps, Footprint, Lease, NewItem, RunHistory, RunOutcome, RunQuery, RunQueue, Settlement,
};
use faas_store::{Store, StoreConfig};
use faas_testkit::fixture::{at, everything, finish, fresh, in_state, new_item};
use faas_testkit::{MemoryHistory, MemoryQueue};
use faas_types::{Digest, FunctionId, ProjectId, RunState};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

/// Room for the inputs of two or three ended runs, so that some have to go.
const KEPT: ByteBounds = ByteBounds { function: 320, project: 280 };

/// One step. Indexes choose among the leases handed out so far, held or not.
#[derive(Clone, Debug)]
enum Step {
    Enqueue { key: Option<u8>, priority: u8, delay: u64 },
    Lease { max: u32, ttl: u64 },
    Finish(Index),
    Retry(Index, u64),
    Return(Index, u64),
    Extend(Index, u64),
    Withdraw(Index),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    prop_oneof![
        4 => (prop::option::of(0_u8..3), 0_u8..3, 0_u64..60)
            .prop_map(|(key, priority, delay)| Step::Enqueue { key, priority, delay }),
        4 => (0_u32..5, 1_u64..80).prop_map(|(max, ttl)| Step::Lease { max, ttl }),
        3 => index().prop_map(Step::Finish),
        2 => (index(), 0_u64..80).prop_map(|(lease, delay)| Step::Retry(lease, delay)),
        1 => (index(), 0_u64..80).prop_map(|(lease, delay)| Step::Return(lease, delay)),
        1 => (index(), 0_u64..80).prop_map(|(lease, delay)| Step::Extend(lease, delay)),
        1 => index().prop_map(Step::Withdraw),
        2 => (0_u64..50).prop_map(Step::Wait),
    ]
}

/// A queue under test with the leases that it handed out.
struct Side {
    queue: Arc<dyn RunQueue>,
    history: Arc<dyn RunHistory>,
    leases: Vec<Lease>,
}

#[derive(Clone, Copy)]
struct Owner {
    project: ProjectId,
    function: FunctionId,
}

// === impl Side ===

impl Side {
    /// What a step gives, in words that both sides must agree on. Epochs may differ: only their order means anything.
    async fn take(&mut self, step: &Step, item: &NewItem, now: u64) -> String {
        let chosen = |index: &Index| self.leases.get(index.index(self.leases.len().max(1)));
        let settle = |lease: &Lease, outcome| vec![Settlement { lease: lease.mark(), outcome }];
        let done = match step {
            Step::Enqueue { .. } => return format!("{:?}", self.queue.enqueue(vec![item.clone()]).await),
            Step::Wait(_) => return String::new(),
            Step::Lease { max, ttl } => return self.lease(item, *max, *ttl, now).await,
            Step::Finish(index) => chosen(index).map(|lease| {
                // Without the fresh ids of an attempt, which would differ.
                let record = Box::new(in_state(lease.record.clone(), RunState::Succeeded));
                settle(lease, RunOutcome::Finish { record, dead: None, follow_ups: FollowUps::default() })
            }),
            Step::Retry(index, delay) => chosen(index).map(|lease| {
                let record = in_state(lease.record.clone(), RunState::Retried);
                settle(lease, RunOutcome::Retry { record: Box::new(record), not_before: at(now + delay) })
            }),
            Step::Return(index, delay) => {
                chosen(index).map(|lease| settle(lease, RunOutcome::Return { not_before: at(now + delay) }))
            }
            Step::Extend(index, delay) => {
                let Some(lease) = chosen(index) else { return String::new() };
                return format!("{:?}", self.queue.extend(&[lease.mark()], at(now + delay)).await);
            }
            Step::Withdraw(index) => {
                let Some(lease) = chosen(index) else { return String::new() };
                let record = in_state(lease.record.clone(), RunState::Cancelled);
                return format!("{:?}", self.queue.withdraw(record, FollowUps::default(), KEPT).await);
            }
        };
        match done {
            Some(settlements) => format!("{:?}", self.queue.settle(settlements, KEPT).await),
            None => String::new(),
        }
    }

    async fn lease(&mut self, item: &NewItem, max: u32, ttl: u64, now: u64) -> String {
        let want = faas_ports::Want { max, ..everything(item.record.project, item.record.function().id) };
        let ttl = Duration::from_millis(ttl);
        let handed = self.queue.lease("test", &[want], ttl, at(now)).await.expect("lease");
        let words: Vec<_> = handed
            .iter()
            .map(|lease| (lease.record.clone(), lease.input.clone(), lease.deliveries, lease.expires_at))
            .collect();
        self.leases.extend(handed);
        format!("{words:?}")
    }

    /// What can be seen from outside.
    async fn view(&self, owner: Owner, now: u64) -> String {
        let mut depths = self.queue.depths().await.expect("depths");
        depths.retain(|depth| depth.project == owner.project);
        // How many rows are looked at is each adapter's own.
        let runs = self.history.runs(&RunQuery::newest(owner.project, 100)).await.expect("runs").runs;
        let running = RunQuery { state: Some(RunState::Running), ..RunQuery::newest(owner.project, 3) };
        let running = self.history.runs(&running).await.expect("runs").runs;
        let ready = self.queue.outlook(at(now)).await.expect("outlook").ready;
        let ready = ready.contains(&(owner.project, owner.function));
        format!("{depths:?} {runs:?} {running:?} {ready:?}")
    }
}

async fn compare(store: &Store, steps: &[Step]) -> Result<(), TestCaseError> {
    let owner = Owner { project: fresh(), function: fresh() };
    let history = Arc::new(MemoryHistory::default());
    let queue = Arc::new(MemoryQueue::new(Arc::clone(&history)));
    let mut model = Side { queue, history, leases: Vec::new() };
    let mut tested = Side { queue: store.queue(), history: store.history(), leases: Vec::new() };
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
            let mut name = [*priority; 32];
            name[..16].copy_from_slice(&item.record.id.as_u128().to_be_bytes());
            let bytes = 100 + u64::from(*priority);
            let blob = Some(Digest::from_bytes(name));
            item.footprint = Footprint { bytes, keyless: priority % 2 == 1, blob, reserved: u64::from(*priority) };
        }
        let wanted = model.take(step, &item, now).await;
        let found = tested.take(step, &item, now).await;
        prop_assert_eq!(found, wanted, "after {:?} at {}", step, now);
        let wanted = model.view(owner, now).await;
        let found = tested.view(owner, now).await;
        prop_assert_eq!(found, wanted, "after {:?} at {}", step, now);
    }
    empty(&*store.queue(), owner).await;
    Ok(())
}

/// Leaves nothing for the next case.
async fn empty(queue: &dyn RunQueue, owner: Owner) {
    loop {
        let wants = [everything(owner.project, owner.function)];
        let leases = queue.lease("empty", &wants, Duration::from_secs(1), at(1 << 40)).await.expect("lease");
        if leases.is_empty() {
            return;
        }
        queue.settle(leases.iter().map(finish).collect(), KEPT).await.expect("settle");
    }
}

#[test]
fn sqlite_and_memory_tell_the_same_story() {
    let dir = tempfile::tempdir().expect("temp dir");
    let config = StoreConfig { low_water: 0, ballast: 0, ..StoreConfig::new(dir.path()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let store = Store::open(&config).expect("open");
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    let told = TestRunner::new(config)
        .run(&prop::collection::vec(step(), 1..60), |steps| runtime.block_on(compare(&store, &steps)));
    if let Err(difference) = told {
        panic!("{difference}");
    }
}
