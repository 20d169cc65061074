//! How many accepted runs have not ended, and what they take, so that too many are refused before they are accepted.

use std::collections::HashMap;
use std::hash::Hash;

use faas_ports::{ByteBounds, Footprint, QueueDepth};
use faas_types::{ByteSize, Code, Fault, FunctionId, FunctionName, ProjectId, limits};
use parking_lot::Mutex;

use super::function_queues::QueueKey;
use crate::quotas::Quotas;

/// Runs that have not ended, by owner.
pub struct Backlog {
    quotas: Quotas,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    functions: HashMap<FunctionId, Load>,
    projects: HashMap<ProjectId, Load>,
}

/// What has not ended of one owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    all: Taken,
    /// The part of it that callers without a key made.
    keyless: Taken,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Taken {
    runs: u64,
    bytes: u64,
}

/// What becomes of a run that is larger than all that may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversize {
    /// It is refused for good: its sender hears which bound that is.
    Refused,
    /// It goes alone, once nothing else of its function waits: it was accepted before.
    Alone,
}

// === impl Backlog ===

impl Backlog {
    pub(crate) fn new(depths: &[QueueDepth], quotas: Quotas) -> Self {
        let mut counts = Counts::default();
        for depth in depths {
            let load = Load {
                all: Taken { runs: depth.waiting + depth.leased, bytes: depth.bytes },
                keyless: Taken { runs: depth.keyless, bytes: depth.keyless_bytes },
            };
            counts.functions.entry(depth.function).or_default().add(load);
            counts.projects.entry(depth.project).or_default().add(load);
        }
        Self { quotas, counts: Mutex::new(counts) }
    }

    /// Counts a run in, or refuses it. The caller counts it out when it is not accepted after all.
    pub(crate) fn enter(
        &self,
        owner: QueueKey,
        (name, max): (&FunctionName, u32),
        footprint: Footprint,
        over: Oversize,
    ) -> Result<(), Fault> {
        let (project, function) = owner;
        let mut counts = self.counts.lock();
        let own = counts.functions.get(&function).copied().unwrap_or_default();
        let all = counts.projects.get(&project).copied().unwrap_or_default();
        let ever = self.check_size(footprint);
        match over {
            Oversize::Alone if ever.is_err() && own.all.runs == 0 => {}
            Oversize::Alone => {
                self.check_function(own, name, u64::from(max), footprint)?;
                self.check_project(all, footprint)?;
            }
            Oversize::Refused => {
                ever?;
                self.check_function(own, name, u64::from(max), footprint)?;
                self.check_project(all, footprint)?;
            }
        }
        counts.add(owner, footprint);
        Ok(())
    }

    /// Counts a run in, however many wait.
    pub(crate) fn admit(&self, owner: QueueKey, footprint: Footprint) {
        self.counts.lock().add(owner, footprint);
    }

    /// A run has ended, or was not accepted.
    pub(crate) fn leave(&self, (project, function): QueueKey, footprint: Footprint) {
        let mut counts = self.counts.lock();
        let load = Load::of(footprint);
        remove(&mut counts.functions, &function, load);
        remove(&mut counts.projects, &project, load);
    }

    /// Runs of a function that have not ended.
    pub fn of(&self, function: FunctionId) -> u64 {
        self.counts.lock().functions.get(&function).map_or(0, |load| load.all.runs)
    }

    /// Bytes that all runs which have not ended take.
    pub(crate) fn bytes(&self) -> u64 {
        self.counts.lock().projects.values().map(|load| load.all.bytes).sum()
    }

    /// Refuses what would not be accepted if nothing else waited.
    fn check_size(&self, new: Footprint) -> Result<(), Fault> {
        let ByteBounds { function, project } = self.quotas.waiting;
        let keys = [(function, "background.waiting_bytes"), (project, "background.project_waiting_bytes")];
        for (most, key) in keys {
            let part = if new.keyless { self.quotas.share(most) } else { most };
            if new.bytes <= part {
                continue;
            }
            let (taken, part) = (size(new.bytes), size(part));
            let message = format!("the run takes {taken}; all that wait may take {part}");
            let hint = if new.keyless {
                format!(
                    "send a smaller body, or a key; the server's configuration has the bound, `{key}`, and the part of it \
                     that is for callers without a key, `background.keyless_percent`"
                )
            } else {
                format!("send a smaller body, or raise `{key}` in the server's configuration")
            };
            return Err(Fault::new(Code::PayloadTooLarge, message).with_hint(hint));
        }
        Ok(())
    }

    fn check_function(&self, own: Load, name: &FunctionName, max: u64, new: Footprint) -> Result<(), Fault> {
        let full = |message: String| Fault::new(Code::RateLimited, message).with_retry_after(5);
        let most = Taken { runs: max, bytes: self.quotas.waiting.function };
        let share = self.share(most);
        let counted = own.counted(share);
        if counted.runs >= most.runs {
            return Err(full(format!("{} runs of `{name}` wait already", counted.runs))
                .with_hint("send less, or raise `background.backlog_max` in the manifest"));
        }
        if counted.is_beyond(new, most) {
            let (held, most) = (size(counted.bytes), size(most.bytes));
            return Err(full(format!("runs of `{name}` that wait already take {held}; they may take {most}"))
                .with_hint(
                    "send less or smaller bodies, or raise `background.waiting_bytes` in the server's configuration",
                ));
        }
        if new.keyless && own.keyless.is_beyond(new, share) {
            let message = format!("callers without a key have as many runs of `{name}` waiting as they may");
            return Err(full(message).with_hint(
                "send a key, for which the rest of the backlog is kept, or raise `background.keyless_percent` in the \
                 server's configuration",
            ));
        }
        Ok(())
    }

    fn check_project(&self, all: Load, new: Footprint) -> Result<(), Fault> {
        let full = |message: String| Fault::new(Code::Overloaded, message).with_retry_after(10);
        let most = Taken { runs: limits::PROJECT_BACKLOG_MAX, bytes: self.quotas.waiting.project };
        let share = self.share(most);
        let counted = all.counted(share);
        if counted.runs >= most.runs {
            return Err(full(format!("{} runs of this project wait already", counted.runs))
                .with_hint("try again when some have ended"));
        }
        if counted.is_beyond(new, most) {
            let (held, most) = (size(counted.bytes), size(most.bytes));
            return Err(full(format!("runs of this project that wait already take {held}; they may take {most}"))
                .with_hint("try again when some have ended, or raise `background.project_waiting_bytes`"));
        }
        if new.keyless && all.keyless.is_beyond(new, share) {
            return Err(full("callers without a key have as many runs of this project waiting as they may".to_owned())
                .with_hint("send a key, for which the rest is kept, or try again when some have ended"));
        }
        Ok(())
    }

    /// The part of callers without a key.
    fn share(&self, most: Taken) -> Taken {
        Taken { runs: self.quotas.share(most.runs), bytes: self.quotas.share(most.bytes) }
    }
}

fn size(bytes: u64) -> String {
    ByteSize::from_bytes(bytes.div_ceil(1024).saturating_mul(1024)).to_string()
}

fn remove<K: Eq + Hash>(loads: &mut HashMap<K, Load>, key: &K, load: Load) {
    if let Some(left) = loads.get_mut(key) {
        left.all.remove(load.all);
        left.keyless.remove(load.keyless);
        if left.all.runs == 0 {
            loads.remove(key);
        }
    }
}

// === impl Counts ===

impl Counts {
    fn add(&mut self, (project, function): QueueKey, footprint: Footprint) {
        let load = Load::of(footprint);
        self.functions.entry(function).or_default().add(load);
        self.projects.entry(project).or_default().add(load);
    }
}

// === impl Load ===

impl Load {
    fn of(footprint: Footprint) -> Self {
        let all = Taken { runs: 1, bytes: footprint.bytes };
        Self { all, keyless: if footprint.keyless { all } else { Taken::default() } }
    }

    /// What stands against callers with a key. Callers without one can be beyond their part by what follows their runs,
    /// which is never refused; that is not to keep others out.
    fn counted(self, share: Taken) -> Taken {
        let without = |all: u64, keyless: u64, share: u64| all.saturating_sub(keyless.saturating_sub(share));
        Taken {
            runs: without(self.all.runs, self.keyless.runs, share.runs),
            bytes: without(self.all.bytes, self.keyless.bytes, share.bytes),
        }
    }

    fn add(&mut self, other: Self) {
        self.all.add(other.all);
        self.keyless.add(other.keyless);
    }
}

// === impl Taken ===

impl Taken {
    fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.bytes += other.bytes;
    }

    fn remove(&mut self, other: Self) {
        self.runs = self.runs.saturating_sub(other.runs);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }

    /// Whether one more is too many.
    fn is_beyond(self, new: Footprint, most: Self) -> bool {
        self.runs >= most.runs || self.bytes.saturating_add(new.bytes) > most.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(depths: &[QueueDepth]) -> Backlog {
        let waiting = ByteBounds { function: 1_000, project: 1_500 };
        Backlog::new(depths, Quotas { waiting, keyless_percent: 50, ..Quotas::default() })
    }

    fn owner(function: u128) -> QueueKey {
        (ProjectId::from_u128(1), FunctionId::from_u128(function))
    }

    fn run(bytes: u64, keyless: bool) -> Footprint {
        Footprint { bytes, keyless, ..Footprint::default() }
    }

    fn enter(backlog: &Backlog, function: u128, max: u32, footprint: Footprint) -> Result<(), (Code, String)> {
        let name = "hello".parse().expect("a name");
        let entered = backlog.enter(owner(function), (&name, max), footprint, Oversize::Refused);
        entered.map_err(|fault| {
            assert!(fault.retry_after.is_some(), "{fault}");
            (fault.code, format!("{}; {}", fault.message, fault.hint.unwrap_or_default()))
        })
    }

    #[test]
    fn callers_without_a_key_leave_the_rest_to_others() {
        let backlog = backlog(&[]);
        for _ in 0..5 {
            enter(&backlog, 1, 10, run(1, true)).expect("room");
        }
        let (code, message) = enter(&backlog, 1, 10, run(1, true)).expect_err("half of ten");
        assert_eq!(code, Code::RateLimited);
        assert!(message.contains("background.keyless_percent"), "{message}");
        for _ in 0..5 {
            enter(&backlog, 1, 10, run(1, false)).expect("room for keys");
        }
        let (code, message) = enter(&backlog, 1, 10, run(1, false)).expect_err("ten");
        assert!(code == Code::RateLimited && message.contains("backlog_max"), "{message}");
        backlog.leave(owner(1), run(1, true));
        enter(&backlog, 1, 10, run(1, true)).expect("one has ended");
    }

    #[test]
    fn bytes_are_bounded_for_functions_and_projects() {
        let backlog = backlog(&[]);
        enter(&backlog, 1, 10, run(400, true)).expect("room");
        enter(&backlog, 1, 10, run(101, true)).expect_err("more than half of the function's bytes");
        enter(&backlog, 1, 10, run(600, false)).expect("room for keys");
        let (code, message) = enter(&backlog, 1, 10, run(1, false)).expect_err("full");
        assert!(code == Code::RateLimited && message.contains("background.waiting_bytes"), "{message}");
        let (code, message) = enter(&backlog, 2, 10, run(351, true)).expect_err("half of the project");
        assert!(code == Code::Overloaded && message.contains("without a key"), "{message}");
        let (code, message) = enter(&backlog, 2, 10, run(501, false)).expect_err("the project is full");
        assert!(code == Code::Overloaded && message.contains("background.project_waiting_bytes"), "{message}");
        backlog.admit(owner(2), run(900, false));
        assert_eq!(backlog.bytes(), 1_900, "what follows an end is counted, however much that is");
        backlog.leave(owner(2), run(900, false));
        backlog.leave(owner(1), run(400, true));
        backlog.leave(owner(1), run(600, false));
        assert!(backlog.counts.lock().functions.is_empty() && backlog.counts.lock().projects.is_empty());
    }

    #[test]
    fn a_run_that_can_never_wait_is_refused_for_good_or_goes_alone() {
        let backlog = backlog(&[]);
        let name = "hello".parse().expect("a name");
        let enter = |footprint, over| backlog.enter(owner(1), (&name, 10), footprint, over);
        for (new, key) in
            [(run(1_001, false), "`background.waiting_bytes`"), (run(501, true), "`background.keyless_percent`")]
        {
            let fault = enter(new, Oversize::Refused).expect_err(key);
            assert_eq!((fault.code, fault.retry_after), (Code::PayloadTooLarge, None));
            assert!(fault.hint.is_some_and(|hint| hint.contains(key)), "{key}");
        }
        enter(run(1, false), Oversize::Refused).expect("room");
        let fault = enter(run(1_001, false), Oversize::Alone).expect_err("another waits");
        assert_eq!((fault.code, fault.retry_after), (Code::RateLimited, Some(5)));
        backlog.leave(owner(1), run(1, false));
        enter(run(1_001, false), Oversize::Alone).expect("nothing else waits");
        enter(run(1_001, false), Oversize::Alone).expect_err("one at a time");
    }

    #[test]
    fn what_callers_without_a_key_set_off_leaves_room_for_keys() {
        let backlog = backlog(&[]);
        (0..30).for_each(|_| backlog.admit(owner(1), run(100, true)));
        enter(&backlog, 1, 10, run(1, true)).expect_err("beyond their part");
        for _ in 0..5 {
            enter(&backlog, 1, 10, run(100, false)).expect("room for keys");
        }
        enter(&backlog, 1, 10, run(1, false)).expect_err("ten are counted");
    }

    #[test]
    fn what_waited_before_a_restart_counts() {
        let (project, function) = owner(1);
        let depth = QueueDepth {
            project,
            function,
            waiting: 4,
            leased: 1,
            bytes: 900,
            keyless: 5,
            keyless_bytes: 450,
            reserved: 0,
        };
        let backlog = backlog(&[depth]);
        assert_eq!((backlog.of(function), backlog.bytes()), (5, 900));
        enter(&backlog, 1, 100, run(51, true)).expect_err("half of the bytes are taken");
        enter(&backlog, 1, 100, run(101, false)).expect_err("all are taken");
        enter(&backlog, 1, 10, run(1, true)).expect_err("half of the runs");
        enter(&backlog, 1, 10, run(1, false)).expect("room for keys");
    }
}
