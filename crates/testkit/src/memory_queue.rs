//! A run queue in memory.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use faas_ports::{Lease, NewItem, PortError, PortResult, QueueDepth, QueueItem, RunQueue};
use faas_types::{FunctionId, ProjectId, RunId, Timestamp};
use parking_lot::Mutex;

/// Items in a list, in the order of enqueuing. Every call reads all of it.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    slots: Vec<Slot>,
    dead: Vec<(NewItem, String)>,
    epoch: u64,
}

#[derive(Debug)]
struct Slot {
    item: NewItem,
    deliveries: u32,
    /// When it may be handed out: its delay, or the end of its lease.
    due_at: Timestamp,
    epoch: u64,
    leased: bool,
}

// === impl MemoryQueue ===

impl MemoryQueue {
    /// The items that were given up, with their reasons, oldest first.
    #[must_use]
    pub fn dead(&self) -> Vec<(NewItem, String)> {
        self.state.lock().dead.clone()
    }
}

#[async_trait]
impl RunQueue for MemoryQueue {
    async fn enqueue(&self, items: Vec<NewItem>) -> PortResult<()> {
        let mut state = self.state.lock();
        let mut known: HashSet<(ProjectId, RunId)> = state
            .slots
            .iter()
            .map(|slot| &slot.item)
            .chain(state.dead.iter().map(|(item, _)| item))
            .map(owner)
            .collect();
        for item in &items {
            if !known.insert(owner(item)) {
                return Err(PortError::Exists { what: format!("the queued run {}", item.run) });
            }
        }
        let slot = |item: NewItem| Slot { due_at: item.not_before, item, deliveries: 0, epoch: 0, leased: false };
        state.slots.extend(items.into_iter().map(slot));
        Ok(())
    }

    async fn lease(&self, _worker: &str, max: u32, ttl: Duration, now: Timestamp) -> PortResult<Vec<Lease>> {
        let mut state = self.state.lock();
        let mut due = state.due(now);
        due.truncate(max as usize);
        state.epoch += 1;
        let (epoch, expires_at) = (state.epoch, now.plus(ttl));
        let hand_out = |index: usize| {
            let slot = &mut state.slots[index];
            slot.deliveries += 1;
            (slot.epoch, slot.due_at, slot.leased) = (epoch, expires_at, true);
            let item = QueueItem { item: slot.item.clone(), deliveries: slot.deliveries };
            Lease { item, epoch, expires_at }
        };
        Ok(due.into_iter().map(hand_out).collect())
    }

    async fn extend(&self, lease: &Lease, expires_at: Timestamp) -> PortResult<()> {
        let mut state = self.state.lock();
        let index = state.held(lease)?;
        state.slots[index].due_at = expires_at;
        Ok(())
    }

    async fn ack(&self, lease: &Lease) -> PortResult<()> {
        let mut state = self.state.lock();
        let index = state.held(lease)?;
        state.slots.remove(index);
        Ok(())
    }

    async fn nak(&self, lease: &Lease, not_before: Timestamp) -> PortResult<()> {
        let mut state = self.state.lock();
        let index = state.held(lease)?;
        let slot = &mut state.slots[index];
        (slot.due_at, slot.item.not_before, slot.leased) = (not_before, not_before, false);
        Ok(())
    }

    async fn dead_letter(&self, lease: &Lease, reason: &str) -> PortResult<()> {
        let mut state = self.state.lock();
        let index = state.held(lease)?;
        let slot = state.slots.remove(index);
        state.dead.push((slot.item, reason.to_owned()));
        Ok(())
    }

    async fn depth(&self, project: ProjectId, function: Option<FunctionId>) -> PortResult<QueueDepth> {
        let state = self.state.lock();
        let counts = |item: &NewItem| item.project == project && function.is_none_or(|wanted| item.function == wanted);
        let mut depth = QueueDepth::default();
        for slot in state.slots.iter().filter(|slot| counts(&slot.item)) {
            if slot.leased { depth.leased += 1 } else { depth.waiting += 1 }
        }
        depth.dead = state.dead.iter().filter(|(item, _)| counts(item)).count() as u64;
        Ok(depth)
    }
}

fn owner(item: &NewItem) -> (ProjectId, RunId) {
    (item.project, item.run)
}

// === impl State ===

impl State {
    /// Places of the items that may be handed out, in the order to do so.
    fn due(&self, now: Timestamp) -> Vec<usize> {
        let mut keys = HashSet::new();
        let mut due = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            let key = slot.item.ordering_key.as_ref();
            let first_of_key = key.is_none_or(|key| keys.insert((slot.item.project, slot.item.function, key)));
            if first_of_key && slot.due_at <= now {
                due.push(index);
            }
        }
        due.sort_by_key(|index| std::cmp::Reverse(self.slots[*index].item.priority));
        due
    }

    fn held(&self, lease: &Lease) -> PortResult<usize> {
        let wanted = owner(&lease.item.item);
        let holds = |slot: &Slot| slot.leased && slot.epoch == lease.epoch && owner(&slot.item) == wanted;
        self.slots.iter().position(holds).ok_or(PortError::LeaseLost)
    }
}
