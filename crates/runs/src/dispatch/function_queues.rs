//! One queue for each function with queued runs: what is known of it, and what is leased and waits for a place.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use faas_ports::{Lease, Want};
use faas_types::{FunctionId, ProjectId};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::plan::{self, QueueLoad};

/// How long a queue without news is remembered.
const FORGET: Duration = Duration::from_secs(600);
/// How often queues are looked through for those to forget.
const SWEEP: Duration = Duration::from_secs(30);
/// How fast the measured rate follows what happens.
const SMOOTHING: f64 = 0.3;
/// Ends are counted over at least this long.
const WINDOW: Duration = Duration::from_millis(50);

/// A queue's name.
pub(crate) type QueueKey = (ProjectId, FunctionId);

/// The queues of this server, by function.
#[derive(Default)]
pub struct FunctionQueues {
    table: Mutex<Table>,
    /// Something went to sleep in the queue: its time must be asked for.
    asleep: AtomicBool,
    news: Notify,
}

/// A pass of the dispatcher costs by the queues with work, however many are known.
#[derive(Default)]
struct Table {
    queues: HashMap<QueueKey, FunctionQueue>,
    /// Those with a sign that no empty lease has answered.
    signed: HashSet<QueueKey>,
    /// Those with leases that wait for a place.
    buffered: HashSet<QueueKey>,
    swept: Option<Instant>,
}

struct FunctionQueue {
    /// Rises with each sign of work, so that a sign which came during a lease is not taken for an old one.
    signs: u64,
    /// The signs that an empty lease has answered.
    answered: u64,
    load: QueueLoad,
    buffer: VecDeque<Lease>,
    /// Nothing is leased before this.
    rests_until: Option<Instant>,
    ended: u32,
    counted: Instant,
    touched: Instant,
}

/// What a lease was asked for, and on which sign.
pub(crate) struct Asked {
    pub(crate) want: Want,
    signs: u64,
}

// === impl FunctionQueues ===

impl FunctionQueues {
    /// There is, or may be, something due.
    pub fn sign(&self, key: QueueKey) {
        self.table.lock().sign(key);
        self.news.notify_one();
    }

    /// Several at once.
    pub fn sign_all(&self, keys: impl IntoIterator<Item = QueueKey>) {
        let mut table = self.table.lock();
        keys.into_iter().for_each(|key| table.sign(key));
        drop(table);
        self.news.notify_one();
    }

    /// Something went to sleep in the queue.
    pub(crate) fn look(&self) {
        if !self.asleep.swap(true, Ordering::AcqRel) {
            self.news.notify_one();
        }
    }

    /// Whether something went to sleep since this was last asked.
    pub(crate) fn take_look(&self) -> bool {
        self.asleep.swap(false, Ordering::AcqRel)
    }

    /// Until something happened that may let the dispatcher go on.
    pub(crate) async fn changed(&self) {
        self.news.notified().await;
    }

    /// What to lease now. `is_held` says whether a function is paused.
    pub(crate) fn wants(&self, now: Instant, is_held: impl Fn(FunctionId) -> bool) -> Vec<Asked> {
        let mut table = self.table.lock();
        table.sweep(now);
        let Table { queues, signed, .. } = &mut *table;
        let mut wants = Vec::new();
        for key @ (project, function) in signed.iter() {
            let Some(queue) = queues.get_mut(key) else { continue };
            if queue.rests_until.is_some_and(|until| until > now) || is_held(*function) {
                continue;
            }
            queue.count(now);
            let max = plan::wanted(queue.load);
            if max > 0 {
                wants.push(Asked { want: Want { project: *project, function: *function, max }, signs: queue.signs });
            }
        }
        wants
    }

    /// Takes what was leased; returns what can be tried at once.
    pub(crate) fn take(&self, asked: &[Asked], leases: Vec<Lease>) -> Vec<Lease> {
        let mut table = self.table.lock();
        let mut got: HashMap<QueueKey, u32> = HashMap::new();
        for lease in leases {
            let key = (lease.record.project, lease.record.function().id);
            *got.entry(key).or_default() += 1;
            table.buffered.insert(key);
            let queue = table.queues.entry(key).or_insert_with(FunctionQueue::new);
            queue.load.buffered += 1;
            queue.buffer.push_back(lease);
        }
        let mut ready = Vec::new();
        for Asked { want, signs } in asked {
            let key = (want.project, want.function);
            let Some(queue) = table.queues.get_mut(&key) else { continue };
            if got.get(&key).copied().unwrap_or_default() < want.max {
                queue.answered = *signs;
                if queue.is_answered() {
                    table.signed.remove(&key);
                }
            }
            ready.extend(table.start(key));
        }
        ready
    }

    /// A run has left its place; returns what can be tried instead.
    pub(crate) fn ended(&self, key: QueueKey, capacity: Option<u32>) -> Vec<Lease> {
        let mut table = self.table.lock();
        let Some(queue) = table.queues.get_mut(&key) else { return Vec::new() };
        queue.load.active = queue.load.active.saturating_sub(1);
        queue.load.capacity = capacity.or(queue.load.capacity);
        queue.ended += 1;
        queue.touched = Instant::now();
        let next = table.start(key);
        let hungry = table.queues.get(&key).is_some_and(|queue| !queue.is_answered() && plan::wanted(queue.load) > 0);
        drop(table);
        if hungry {
            self.news.notify_one();
        }
        next
    }

    /// What was learned of a function's capacity; returns what can be tried because of it.
    pub(crate) fn learn(&self, key: QueueKey, capacity: u32) -> Vec<Lease> {
        let mut table = self.table.lock();
        let Some(queue) = table.queues.get_mut(&key) else { return Vec::new() };
        if queue.load.capacity == Some(capacity) {
            return Vec::new();
        }
        queue.load.capacity = Some(capacity);
        let next = table.start(key);
        drop(table);
        self.news.notify_one();
        next
    }

    /// There was no place: nothing is leased for a while.
    pub(crate) fn rest(&self, key: QueueKey, span: Duration) {
        if let Some(queue) = self.table.lock().queues.get_mut(&key) {
            queue.rests_until = Some(Instant::now() + span);
        }
    }

    /// What waits here for a place, of functions that are to be held or of all of them.
    pub(crate) fn drain(&self, goes: impl Fn(FunctionId) -> bool) -> Vec<Lease> {
        let mut table = self.table.lock();
        let Table { queues, buffered, .. } = &mut *table;
        let mut gone = Vec::new();
        buffered.retain(|key| {
            let goes = goes(key.1);
            if goes && let Some(queue) = queues.get_mut(key) {
                queue.load.buffered = 0;
                gone.extend(queue.buffer.drain(..));
            }
            !goes
        });
        gone
    }
}

// === impl Table ===

impl Table {
    fn sign(&mut self, key: QueueKey) {
        self.queues.entry(key).or_insert_with(FunctionQueue::new).sign();
        self.signed.insert(key);
    }

    /// Takes from a queue's buffer what has a place.
    fn start(&mut self, key: QueueKey) -> Vec<Lease> {
        let Some(queue) = self.queues.get_mut(&key) else { return Vec::new() };
        let started = queue.start();
        if queue.buffer.is_empty() {
            self.buffered.remove(&key);
        }
        started
    }

    /// Forgets queues without news, now and then.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| now.duration_since(swept) >= SWEEP) {
            self.queues.retain(|_, queue| !queue.is_idle() || now.duration_since(queue.touched) < FORGET);
            self.swept = Some(now);
        }
    }
}

// === impl FunctionQueue ===

impl FunctionQueue {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            signs: 0,
            answered: 0,
            load: QueueLoad::default(),
            buffer: VecDeque::new(),
            rests_until: None,
            ended: 0,
            counted: now,
            touched: now,
        }
    }

    fn sign(&mut self) {
        self.signs += 1;
        self.touched = Instant::now();
    }

    fn is_idle(&self) -> bool {
        self.load.active == 0 && self.buffer.is_empty() && self.is_answered()
    }

    fn is_answered(&self) -> bool {
        self.signs == self.answered
    }

    /// Takes from the buffer what has a place.
    fn start(&mut self) -> Vec<Lease> {
        let free = plan::places(self.load).saturating_sub(self.load.active) as usize;
        let count = free.min(self.buffer.len());
        let moved = u32::try_from(count).unwrap_or(u32::MAX);
        self.load.active += moved;
        self.load.buffered = self.load.buffered.saturating_sub(moved);
        self.buffer.drain(..count).collect()
    }

    fn count(&mut self, now: Instant) {
        let span = now.duration_since(self.counted);
        if span >= WINDOW {
            let rate = f64::from(self.ended) / span.as_secs_f64();
            self.load.rate += SMOOTHING * (rate - self.load.rate);
            (self.ended, self.counted) = (0, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(function: u128) -> QueueKey {
        (ProjectId::from_u128(1), FunctionId::from_u128(function))
    }

    #[test]
    fn a_pass_looks_at_queues_with_work_alone() {
        let (queues, now) = (FunctionQueues::default(), Instant::now());
        let pass = || {
            let seen = std::cell::Cell::new(0);
            let asked = queues.wants(now, |_| {
                seen.set(seen.get() + 1);
                false
            });
            (asked, seen.get())
        };
        queues.sign_all((0..1_000).map(key));
        let (asked, seen) = pass();
        assert_eq!((asked.len(), seen), (1_000, 1_000));
        queues.sign(key(7));
        assert!(queues.take(&asked, Vec::new()).is_empty());
        let (asked, seen) = pass();
        assert_eq!((asked.len(), seen), (1, 1), "a sign that came meanwhile is not answered");
        assert!(queues.take(&asked, Vec::new()).is_empty());
        assert_eq!(pass().1, 0);
        assert!(queues.drain(|_| unreachable!("nothing waits for a place")).is_empty());
    }
}
