//! A run queue in memory, with its dead letters, claims, callbacks and topics.

mod callbacks;
mod claims;
mod kept;
mod letters;
mod topics;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{
    ByteBounds, DeadLetter, Enqueued, FollowUps, Footprint, Lease, LeaseMark, NewItem, PortError, PortResult,
    QueueDepth, QueueOutlook, RunHistory, RunOutcome, RunQueue, Settled, Settlement, Want, Withdrawn,
};
use faas_types::{FunctionId, ProjectId, RunEvent, RunId, RunRecord, Timestamp};
use parking_lot::Mutex;

use crate::MemoryHistory;
use callbacks::CallbackTable;
use claims::ClaimTable;
use kept::KeptTable;
use topics::TopicTable;

/// Items in a list, in the order of enqueuing. Every call reads all of it.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    history: Arc<MemoryHistory>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    slots: Vec<Slot>,
    inputs: BTreeMap<(ProjectId, RunId), Bytes>,
    dead: BTreeMap<(ProjectId, RunId), DeadLetter>,
    /// Inputs of ended runs.
    kept: KeptTable,
    claims: ClaimTable,
    callbacks: CallbackTable,
    topics: TopicTable,
    epoch: u64,
}

#[derive(Debug)]
struct Slot {
    record: RunRecord,
    priority: u8,
    ordering_key: Option<String>,
    deliveries: u32,
    /// When it may be handed out: its delay, or the end of its lease.
    due_at: Timestamp,
    epoch: u64,
    leased: bool,
    footprint: Footprint,
}

// === impl MemoryQueue ===

impl MemoryQueue {
    /// A queue whose runs this history shows.
    #[must_use]
    pub fn new(history: Arc<MemoryHistory>) -> Self {
        Self { history, state: Mutex::default() }
    }

    async fn show(&self, records: Vec<RunRecord>) -> PortResult<()> {
        self.history.record(records).await
    }
}

#[async_trait]
impl RunQueue for MemoryQueue {
    async fn enqueue(&self, items: Vec<NewItem>) -> PortResult<Vec<Enqueued>> {
        let (outcomes, shown) = self.state.lock().enqueue(items)?;
        self.show(shown).await?;
        Ok(outcomes)
    }

    async fn outlook(&self, now: Timestamp) -> PortResult<QueueOutlook> {
        let state = self.state.lock();
        let mut ready: Vec<_> = state.due(now).into_iter().map(|index| state.slots[index].owner()).collect();
        ready.sort_unstable();
        ready.dedup();
        let next = state.first_of_keys().into_iter().map(|index| state.slots[index].due_at).filter(|due| *due > now);
        Ok(QueueOutlook { ready, next: next.min() })
    }

    async fn lease(&self, _: &str, wants: &[Want], ttl: Duration, now: Timestamp) -> PortResult<Vec<Lease>> {
        let (leases, shown) = self.state.lock().lease(wants, now, now.plus(ttl));
        self.show(shown).await?;
        Ok(leases)
    }

    async fn extend(&self, leases: &[LeaseMark], expires_at: Timestamp) -> PortResult<Vec<bool>> {
        let mut state = self.state.lock();
        let mut extend = |lease: &LeaseMark| match state.held(lease) {
            Some(index) => {
                state.slots[index].due_at = expires_at;
                true
            }
            None => false,
        };
        Ok(leases.iter().map(&mut extend).collect())
    }

    async fn settle(&self, settlements: Vec<Settlement>, kept: ByteBounds) -> PortResult<Settled> {
        let mut shown = Vec::new();
        let settled = {
            let mut state = self.state.lock();
            let mut ended = Vec::new();
            let held = settlements.into_iter().map(|settlement| state.settle(settlement, &mut ended, &mut shown));
            let held = held.collect();
            Settled { held, freed: state.trim(&ended, kept) }
        };
        self.show(shown).await?;
        Ok(settled)
    }

    async fn withdraw(
        &self,
        record: RunRecord,
        follow_ups: FollowUps,
        kept: ByteBounds,
    ) -> PortResult<Option<Withdrawn>> {
        let mut shown = vec![record.clone()];
        let withdrawn = {
            let mut state = self.state.lock();
            let is_it = |slot: &Slot| (slot.record.project, slot.record.id) == (record.project, record.id);
            let Some(index) = state.slots.iter().position(is_it) else { return Ok(None) };
            let slot = state.slots.remove(index);
            state.kept.add(&slot, false);
            state.follow(&record, follow_ups, &mut shown);
            let freed = state.trim(&[slot.owner()], kept);
            Withdrawn { footprint: slot.footprint, freed }
        };
        self.show(shown).await?;
        Ok(Some(withdrawn))
    }

    async fn depths(&self) -> PortResult<Vec<QueueDepth>> {
        let state = self.state.lock();
        let mut depths: BTreeMap<(ProjectId, FunctionId), QueueDepth> = BTreeMap::new();
        for slot in &state.slots {
            let (project, function) = slot.owner();
            let (waiting, leased, bytes, keyless, keyless_bytes, reserved) = (0, 0, 0, 0, 0, 0);
            let fresh = QueueDepth { project, function, waiting, leased, bytes, keyless, keyless_bytes, reserved };
            let depth = depths.entry((project, function)).or_insert(fresh);
            if slot.leased {
                depth.leased += 1;
            } else {
                depth.waiting += 1;
            }
            depth.bytes += slot.footprint.bytes;
            depth.reserved += slot.footprint.reserved;
            if slot.footprint.keyless {
                depth.keyless += 1;
                depth.keyless_bytes += slot.footprint.bytes;
            }
        }
        Ok(depths.into_values().collect())
    }
}

// === impl Slot ===

impl Slot {
    fn owner(&self) -> (ProjectId, FunctionId) {
        (self.record.project, self.record.function().id)
    }
}

// === impl State ===

impl State {
    fn enqueue(&mut self, items: Vec<NewItem>) -> PortResult<(Vec<Enqueued>, Vec<RunRecord>)> {
        let mut new = HashSet::new();
        for item in &items {
            let key = (item.record.project, item.record.id);
            if self.inputs.contains_key(&key) || !new.insert(key) {
                return Err(PortError::Exists { what: format!("the run {}", item.record.id) });
            }
        }
        let mut shown = Vec::new();
        let outcomes = items.into_iter().map(|item| self.add(item, &mut shown)).collect();
        Ok((outcomes, shown))
    }

    fn add(&mut self, item: NewItem, shown: &mut Vec<RunRecord>) -> Enqueued {
        let NewItem { record, not_before, priority, ordering_key, input, claim, redrives, footprint } = item;
        let owner = (record.project, record.function().id);
        if let Some(claim) = &claim
            && let Some(held) = self.claims.held(owner, &claim.key, record.created_at)
        {
            return Enqueued::Known { run: held.run, same: held.fingerprint == claim.fingerprint };
        }
        if let Some(claim) = &claim
            && !self.claims.fits(owner, claim.quota)
        {
            return Enqueued::TooManyClaims;
        }
        if let Some(dead) = redrives
            && self.dead.remove(&(record.project, dead)).is_none()
        {
            return Enqueued::Gone;
        }
        if let Some(claim) = claim {
            self.claims.take(owner, claim, record.id, false);
        }
        self.inputs.insert((record.project, record.id), input);
        shown.push(record.clone());
        let due_at = not_before;
        let (deliveries, epoch, leased) = (0, 0, false);
        self.slots.push(Slot { record, priority, ordering_key, deliveries, due_at, epoch, leased, footprint });
        Enqueued::Accepted
    }

    fn follow(&mut self, ended: &RunRecord, follow_ups: FollowUps, shown: &mut Vec<RunRecord>) {
        if let Some(callback) = follow_ups.callback {
            self.callbacks.add((ended.project, ended.id), callback);
        }
        if let Some(item) = follow_ups.run {
            self.add(*item, shown);
        }
    }

    /// The items that no other of their ordering key precedes.
    fn first_of_keys(&self) -> Vec<usize> {
        let mut keys = HashSet::new();
        let mut first = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            if slot.ordering_key.as_ref().is_none_or(|key| keys.insert((slot.owner(), key))) {
                first.push(index);
            }
        }
        first
    }

    /// Places of the items that may be handed out, in the order to do so.
    fn due(&self, now: Timestamp) -> Vec<usize> {
        let mut due = self.first_of_keys();
        due.retain(|index| self.slots[*index].due_at <= now);
        due.sort_by_key(|index| std::cmp::Reverse(self.slots[*index].priority));
        due
    }

    fn lease(&mut self, wants: &[Want], now: Timestamp, expires_at: Timestamp) -> (Vec<Lease>, Vec<RunRecord>) {
        self.epoch += 1;
        let mut left: HashMap<_, _> = wants.iter().map(|want| ((want.project, want.function), want.max)).collect();
        let order: HashMap<_, _> =
            wants.iter().enumerate().map(|(place, want)| ((want.project, want.function), place)).collect();
        let mut chosen = self.due(now);
        chosen.sort_by_key(|index| order.get(&self.slots[*index].owner()).copied().unwrap_or(usize::MAX));
        let (mut leases, mut shown) = (Vec::new(), Vec::new());
        for index in chosen {
            let slot = &mut self.slots[index];
            let Some(left) = left.get_mut(&slot.owner()).filter(|left| **left > 0) else { continue };
            *left -= 1;
            slot.deliveries += 1;
            (slot.epoch, slot.due_at, slot.leased) = (self.epoch, expires_at, true);
            let record = slot.record.clone();
            let mut running = record.clone();
            running.take(RunEvent::Start, 1).expect("a run that waits can start");
            shown.push(running);
            leases.push(Lease {
                input: self.inputs.get(&(record.project, record.id)).cloned().unwrap_or_default(),
                record,
                ordering_key: slot.ordering_key.clone(),
                deliveries: slot.deliveries,
                epoch: self.epoch,
                expires_at,
                footprint: slot.footprint,
            });
        }
        (leases, shown)
    }

    fn settle(
        &mut self,
        settlement: Settlement,
        ended: &mut Vec<(ProjectId, FunctionId)>,
        shown: &mut Vec<RunRecord>,
    ) -> bool {
        let Some(index) = self.held(&settlement.lease) else { return false };
        match settlement.outcome {
            RunOutcome::Finish { record, dead, follow_ups } => {
                let slot = self.slots.remove(index);
                self.kept.add(&slot, dead.is_some());
                ended.push(slot.owner());
                self.follow(&record, follow_ups, shown);
                if let Some(reason) = dead {
                    let died_at = record.finished_at.unwrap_or(record.created_at);
                    let letter = DeadLetter { record: (*record).clone(), reason, died_at };
                    self.dead.insert((record.project, record.id), letter);
                }
                shown.push(*record);
            }
            RunOutcome::Retry { record, not_before } => {
                let slot = &mut self.slots[index];
                (slot.due_at, slot.leased) = (not_before, false);
                slot.record = (*record).clone();
                shown.push(*record);
            }
            RunOutcome::Return { not_before } => {
                let slot = &mut self.slots[index];
                (slot.due_at, slot.leased) = (not_before, false);
                slot.deliveries -= 1;
                shown.push(slot.record.clone());
            }
        }
        true
    }

    fn held(&self, lease: &LeaseMark) -> Option<usize> {
        let holds = |slot: &Slot| {
            slot.leased
                && slot.epoch == lease.epoch
                && (slot.record.project, slot.record.id) == (lease.project, lease.run)
        };
        self.slots.iter().position(holds)
    }
}
