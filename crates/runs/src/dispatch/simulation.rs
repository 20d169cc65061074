//! Thousands of seeded histories of queue, leases and retries: virtual time, two servers that crash and freeze, ends
//! that come late, twice or never, clients whose answers are lost.
//!
//! The queue is the one in memory, which passes the suite that the real one passes; what to lease and what follows an
//! attempt is decided by the functions that the server calls. `FAAS_SEEDS` sets how many histories, `FAAS_SEED` runs
//! one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use faas_ports::{
    ByteBounds, Claim, Enqueued, FollowUps, Footprint, Lease, LeaseMark, NewItem, RunHistory, RunOutcome, RunQueue,
    Settlement, Want,
};
use faas_testkit::fixture::{at, finish as settled, fresh, new_item, queued_run, succeeded};
use faas_testkit::{MemoryHistory, MemoryQueue};
use faas_types::{
    Code, Digest, FunctionId, ProjectId, RetryPolicy, RunEvent, RunId, RunRecord, RunState, Span, Timestamp, limits,
};
use futures_util::FutureExt;

use super::plan::{self, QueueLoad};
use crate::attempt_outcome::AttemptOutcome;
use crate::retry::{self, Next, Tried};

const TTL: Duration = Duration::from_millis(1_000);
const STEPS: u32 = 150;
const KEYS: u64 = 3;
const CAPACITY: u32 = 4;

/// A stream of numbers that a seed decides.
struct Dice(u64);

/// Everything there is in one history.
struct World {
    dice: Dice,
    now: u64,
    queue: MemoryQueue,
    history: Arc<MemoryHistory>,
    project: ProjectId,
    function: FunctionId,
    /// The destination of every run, whichever way it ended.
    next: FunctionId,
    policy: RetryPolicy,
    servers: Vec<Server>,
    /// Ends on their way to the queue, with the time of their arrival.
    wire: Vec<(u64, usize, Settlement)>,
    paused: bool,
    ledger: Ledger,
}

/// A server with the runs that it tries.
#[derive(Default)]
struct Server {
    trying: Vec<Trying>,
    /// It does nothing before this time, as under SIGSTOP.
    frozen_until: u64,
    beat_at: u64,
}

struct Trying {
    lease: Lease,
    ends_at: u64,
}

/// What must hold.
#[derive(Default)]
struct Ledger {
    /// Runs that a client holds an answer for.
    promised: HashSet<RunId>,
    /// Every run in the order of acceptance, with its ordering key.
    accepted: Vec<(RunId, Option<u64>)>,
    /// Those that have not ended.
    open: BTreeSet<RunId>,
    /// Commits of terminal states.
    ends: BTreeMap<RunId, u32>,
    /// The run of each idempotency key.
    claims: HashMap<u64, RunId>,
    /// What the destination's runs follow.
    sent_on: Vec<RunId>,
}

// === impl Dice ===

impl Dice {
    /// `SplitMix64`.
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The memory adapters never wait.
fn now<T>(work: impl Future<Output = faas_ports::PortResult<T>>) -> T {
    work.now_or_never().expect("the queue in memory never waits").expect("the queue in memory never fails")
}

// === impl World ===

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let history = Arc::new(MemoryHistory::default());
        let policy = RetryPolicy {
            max_attempts: 1 + u32::try_from(dice.below(4)).expect("small"),
            backoff: Span::from_millis(dice.below(400)),
            backoff_max: Span::from_millis(dice.below(2_000)),
            max_age: Span::from_millis(5_000 + dice.below(100_000)),
            ..RetryPolicy::default()
        };
        Self {
            queue: MemoryQueue::new(Arc::clone(&history)),
            history,
            project: fresh(),
            function: fresh(),
            next: fresh(),
            policy,
            servers: vec![Server::default(), Server::default()],
            wire: Vec::new(),
            paused: false,
            ledger: Ledger::default(),
            now: 0,
            dice,
        }
    }

    fn at(&self) -> Timestamp {
        at(self.now)
    }

    fn step(&mut self) {
        self.now += self.dice.below(60);
        match self.dice.below(100) {
            0..20 => self.client(),
            20..24 => self.cancel(),
            24..27 => self.crash(),
            27..30 => self.freeze(),
            30..32 => self.paused = !self.paused,
            // As much as any lease, so that everything lapses at once.
            32..33 => self.now += 2_000,
            _ => self.serve(),
        }
    }

    /// A caller has a run accepted; its answer may be lost, and then it asks again with the same key.
    fn client(&mut self) {
        let key = self.dice.chance(40).then(|| self.dice.below(30));
        let ordering = self.dice.chance(40).then(|| self.dice.below(KEYS));
        let (delay, priority) = (self.dice.below(300), self.dice.below(3));
        let tries = if self.dice.chance(30) { 2 } else { 1 };
        for attempt in 0..tries {
            let mut record = queued_run(self.project, self.function, self.at());
            // From the seed, so that a history is the same each time.
            record.id = RunId::mint(self.at(), self.dice.roll().into());
            let item = NewItem {
                not_before: at(self.now + delay),
                priority: u8::try_from(priority).expect("small"),
                ordering_key: ordering.map(|key| key.to_string()),
                input: bytes::Bytes::new(),
                claim: key.map(|key| Claim {
                    key: key.to_string(),
                    fingerprint: Digest::from_bytes([1; 32]),
                    expires_at: at(1 << 40),
                    quota: None,
                }),
                redrives: None,
                footprint: Footprint::default(),
                record,
            };
            let run = item.record.id;
            let outcome = now(self.queue.enqueue(vec![item]))[0];
            let lost = attempt + 1 < tries;
            let run = match outcome {
                Enqueued::Accepted => {
                    self.ledger.open.insert(run);
                    self.ledger.accepted.push((run, ordering));
                    run
                }
                Enqueued::Known { run, .. } => run,
                Enqueued::Gone => panic!("nothing was redriven"),
                Enqueued::TooManyClaims => panic!("there is no quota"),
            };
            if let Some(key) = key {
                let first = *self.ledger.claims.entry(key).or_insert(run);
                assert_eq!(first, run, "two runs for one idempotency key");
            }
            if !lost {
                self.ledger.promised.insert(run);
            }
        }
    }

    fn cancel(&mut self) {
        let count = self.ledger.open.len();
        if count == 0 {
            return;
        }
        let chosen = usize::try_from(self.dice.below(count as u64)).expect("small");
        let run = *self.ledger.open.iter().nth(chosen).expect("chosen among them");
        let mut record = now(self.history.run(self.project, run)).expect("an accepted run is in the history");
        record.take(RunEvent::Cancel, 1).expect("a run that has not ended can be cancelled");
        let follow_ups = self.follow_ups(run);
        if now(self.queue.withdraw(record, follow_ups, ByteBounds::NONE)).is_some() {
            self.ledger.end(run);
            self.end_destinations();
        }
    }

    /// A server loses all it had in memory; what it had sent may still arrive.
    fn crash(&mut self) {
        let index = usize::try_from(self.dice.below(2)).expect("small");
        self.servers[index] = Server::default();
        if self.dice.chance(50) {
            self.wire.retain(|(_, from, _)| *from != index);
        }
    }

    fn freeze(&mut self) {
        let index = usize::try_from(self.dice.below(2)).expect("small");
        self.servers[index].frozen_until = self.now + self.dice.below(4_000);
    }

    /// Both servers and the wire do what is due.
    fn serve(&mut self) {
        for index in 0..self.servers.len() {
            if self.servers[index].frozen_until <= self.now {
                self.end_attempts(index);
                self.beat(index);
                self.lease(index);
            }
        }
        self.deliver();
    }

    fn lease(&mut self, index: usize) {
        if self.paused {
            return;
        }
        let active = u32::try_from(self.servers[index].trying.len()).expect("small");
        let load = QueueLoad { capacity: Some(CAPACITY), active, ..QueueLoad::default() };
        let max = plan::wanted(load);
        let wants = [Want { project: self.project, function: self.function, max }];
        for lease in now(self.queue.lease("server", &wants, TTL, self.at())) {
            assert!(self.ledger.open.contains(&lease.record.id), "an ended run was handed out");
            let ends_at = self.now + self.dice.below(1_500);
            self.servers[index].trying.push(Trying { lease, ends_at });
        }
    }

    fn beat(&mut self, index: usize) {
        if self.servers[index].beat_at > self.now {
            return;
        }
        self.servers[index].beat_at = self.now + 300;
        let marks: Vec<LeaseMark> = self.servers[index].trying.iter().map(|trying| trying.lease.mark()).collect();
        let held = now(self.queue.extend(&marks, self.at().plus(TTL)));
        let mut held = held.into_iter();
        self.servers[index].trying.retain(|_| held.next().unwrap_or(false));
    }

    fn end_attempts(&mut self, index: usize) {
        let now = self.now;
        let (ended, rest) =
            std::mem::take(&mut self.servers[index].trying).into_iter().partition(|trying| trying.ends_at <= now);
        self.servers[index].trying = rest;
        for Trying { lease, .. } in ended {
            let settlement = Settlement { lease: lease.mark(), outcome: self.outcome(&lease) };
            let span = if self.dice.chance(10) { 3_000 } else { 30 };
            let late = self.dice.below(span);
            if self.dice.chance(5) {
                self.wire.push((now + self.dice.below(2_000), index, settlement.clone()));
            }
            self.wire.push((now + late, index, settlement));
        }
    }

    fn outcome(&mut self, lease: &Lease) -> RunOutcome {
        let before = u32::try_from(lease.record.attempts.len()).expect("small");
        let lost = lease.deliveries - 1 - before;
        let now = self.at();
        let tried = |attempts| Tried { created_at: lease.record.created_at, attempts, now };
        let spent = retry::spent(&self.policy, tried(before), lost);
        let attempted = match self.dice.below(100) {
            0..50 => AttemptOutcome::Completed,
            50..75 => AttemptOutcome::Failed(Code::RuntimeError),
            75..80 => AttemptOutcome::Failed(Code::TimeoutExceeded),
            80..85 => AttemptOutcome::Failed(Code::BadRequest),
            85..95 => AttemptOutcome::Failed(Code::Overloaded),
            _ => AttemptOutcome::Interrupted,
        };
        let next = match spent {
            Some(straw) => Next::Bury(straw),
            None => retry::next(&self.policy, tried(before + 1), attempted, self.dice.roll()),
        };
        let mut record = lease.record.clone();
        if spent.is_none() {
            record.take(RunEvent::Start, 1).expect("a run that was leased can start");
            record.attempts.extend(succeeded(lease.record.clone()).attempts);
        }
        match next {
            Next::Succeed => self.finish(record, RunEvent::Succeed, None),
            Next::Bury(straw) => {
                self.finish(record, RunEvent::Fail { retryable: false }, Some(straw.as_str().to_owned()))
            }
            Next::Retry(not_before) => {
                let failed = RunEvent::Fail { retryable: true };
                record.take(failed, self.policy.max_attempts).expect("a failed attempt with another to come");
                assert_eq!(record.state(), RunState::Retried, "the policy and the state machine disagree");
                RunOutcome::Retry { record: Box::new(record), not_before }
            }
            Next::Return(not_before) => RunOutcome::Return { not_before },
        }
    }

    fn finish(&mut self, mut record: RunRecord, event: RunEvent, dead: Option<String>) -> RunOutcome {
        record.take(event, 1).expect("a leased run can end");
        let follow_ups = self.follow_ups(record.id);
        RunOutcome::Finish { record: Box::new(record), dead, follow_ups }
    }

    /// The run of the destination. Every try to end a run makes another one.
    fn follow_ups(&mut self, ended: RunId) -> FollowUps {
        let mut item = new_item(self.project, self.next);
        item.record.id = RunId::mint(self.at(), self.dice.roll().into());
        item.record.origin = Some(ended);
        FollowUps { callback: None, run: Some(Box::new(item)) }
    }

    /// The destination's runs end at once, so that they do not slow the others down.
    fn end_destinations(&mut self) {
        let wants = [Want { project: self.project, function: self.next, max: u32::MAX }];
        for lease in now(self.queue.lease("destination", &wants, TTL, self.at())) {
            self.ledger.sent_on.extend(lease.record.origin);
            assert!(now(self.queue.settle(vec![settled(&lease)], ByteBounds::NONE)).held[0]);
        }
    }

    fn deliver(&mut self) {
        let now_ = self.now;
        let (mut due, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.wire).into_iter().partition(|(at, ..)| *at <= now_);
        self.wire = rest;
        due.sort_by_key(|(at, ..)| *at);
        for (_, _, settlement) in due {
            let (run, ends) = (settlement.lease.run, matches!(settlement.outcome, RunOutcome::Finish { .. }));
            if now(self.queue.settle(vec![settlement], ByteBounds::NONE)).held[0] && ends {
                self.ledger.finished_in_order(run);
                self.ledger.end(run);
                self.end_destinations();
            }
        }
    }

    /// Nothing goes wrong any more: everything must come to its end.
    fn heal(&mut self) {
        self.paused = false;
        for server in &mut self.servers {
            server.frozen_until = 0;
        }
        for _ in 0..20_000 {
            if self.ledger.open.is_empty() {
                return;
            }
            self.now += 250;
            self.serve();
        }
        panic!("{} runs never ended", self.ledger.open.len());
    }

    fn judge(&self) {
        for (run, _) in &self.ledger.accepted {
            assert_eq!(self.ledger.ends.get(run), Some(&1), "{run} did not end exactly once");
            let record = now(self.history.run(self.project, *run)).expect("an accepted run is in the history");
            assert!(record.state().is_terminal(), "{run} is {:?}", record.state());
            assert!(record.attempts.len() <= self.policy.max_attempts as usize, "{run} had too many attempts");
        }
        let accepted: HashSet<RunId> = self.ledger.accepted.iter().map(|(run, _)| *run).collect();
        assert!(self.ledger.promised.is_subset(&accepted), "a client holds a run that was never accepted");
        assert!(now(self.queue.depths()).is_empty(), "ended runs are still in the queue");
        self.judge_destinations();
    }

    /// Each run that ended has exactly one run of the destination.
    fn judge_destinations(&self) {
        let mut origins = self.ledger.sent_on.clone();
        origins.sort_unstable();
        let ended: Vec<RunId> = self.ledger.ends.keys().copied().collect();
        assert_eq!(origins, ended, "runs were sent on twice or not at all");
    }
}

// === impl Ledger ===

impl Ledger {
    fn end(&mut self, run: RunId) {
        self.open.remove(&run);
        *self.ends.entry(run).or_default() += 1;
    }

    /// No run of the same ordering key that was accepted before may still be under way.
    fn finished_in_order(&self, run: RunId) {
        let key = self.accepted.iter().find(|(other, _)| *other == run).and_then(|(_, key)| *key);
        let Some(key) = key else { return };
        let earlier = self.accepted.iter().take_while(|(other, _)| *other != run);
        let overtaken =
            earlier.filter(|(_, other)| *other == Some(key)).find(|(other, _)| !self.ends.contains_key(other));
        assert_eq!(overtaken, None, "{run} overtook another of its ordering key");
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn history(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.heal();
    world.judge();
}

#[test]
fn every_history_ends_well() {
    let seeds: Vec<u64> = match number("FAAS_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("FAAS_SEEDS").unwrap_or(2_000)).collect(),
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| history(seed)) {
            let words = panic.downcast_ref::<String>().map_or("", String::as_str);
            panic!("seed {seed} ends badly: {words}\nrun it alone with FAAS_SEED={seed}");
        }
    }
}

#[test]
fn a_run_that_takes_its_server_down_is_given_up() {
    let policy = RetryPolicy::default();
    let tried = Tried { created_at: at(0), attempts: 0, now: at(1) };
    assert_eq!(retry::spent(&policy, tried, limits::LOST_MAX), None);
    assert!(retry::spent(&policy, tried, limits::LOST_MAX + 1).is_some());
}
