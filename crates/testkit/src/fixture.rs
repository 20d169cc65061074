//! Nouns for tests: fresh ids, and records with sensible fields.

use faas_ports::{
    Expired, Expiry, FollowUps, Footprint, IdSource, Lease, NewItem, RunHistory, RunOutcome, Settlement, SystemClock,
    Want,
};
use faas_types::{
    AttemptRecord, FunctionId, FunctionName, FunctionVersion, Id, IdKind, IsolationLevel, JsonText, LogLevel, LogLine,
    LogStream, ProjectId, RunId, RunRecord, RunState, RunSubject, Timestamp, TriggerKind,
};

/// The time at which most tests begin: 2026-01-01T00:00:00Z.
pub const EPOCH: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// A fresh id that was created at [`EPOCH`]; unlike every other, so that tests can share a store.
#[must_use]
pub fn fresh<K: IdKind>() -> Id<K> {
    fresh_at(EPOCH)
}

/// A fresh id that was created at `at`.
#[must_use]
pub fn fresh_at<K: IdKind>(at: Timestamp) -> Id<K> {
    Id::mint(at, SystemClock.entropy())
}

/// [`EPOCH`] and some milliseconds.
#[must_use]
pub fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(EPOCH.as_millis() + millis)
}

/// A run that was accepted at `created_at` and waits.
///
/// # Panics
/// Never: the name is valid.
#[must_use]
pub fn queued_run(project: ProjectId, function: FunctionId, created_at: Timestamp) -> RunRecord {
    let name: FunctionName = "hello".parse().expect("a valid name");
    let subject = RunSubject::Function(FunctionVersion { id: function, name, version: 1 });
    let mut run = RunRecord::queued(fresh_at(created_at), project, subject, TriggerKind::Http, created_at);
    run.isolation = IsolationLevel::Full;
    run
}

/// The run as a store that holds it in this state has it, however it came there.
///
/// # Panics
/// Never: a record is JSON.
#[must_use]
pub fn in_state(run: RunRecord, state: RunState) -> RunRecord {
    let mut json = serde_json::to_value(run).expect("a record is JSON");
    json["state"] = state.as_str().into();
    serde_json::from_value(json).expect("a record")
}

/// The run after a first attempt of one millisecond that succeeded.
#[must_use]
pub fn succeeded(run: RunRecord) -> RunRecord {
    let end = Timestamp::from_millis(run.created_at.as_millis() + 1);
    let attempt = AttemptRecord {
        id: fresh_at(run.created_at),
        number: 1,
        instance: Some(fresh()),
        started_at: run.created_at,
        finished_at: Some(end),
        cold_start: run.cold_start,
        queue_us: 10,
        start: None,
        handler_us: 990,
        peak_memory_bytes: Some(1 << 20),
        cpu_us: None,
        dropped_log_lines: 0,
        code: None,
        message: None,
        error: None,
    };
    let mut run = in_state(run, RunState::Succeeded);
    (run.started_at, run.finished_at, run.duration_us) = (Some(run.created_at), Some(end), Some(1000));
    (run.attempts, run.http_status) = (vec![attempt], Some(200));
    run.result = JsonText::parse("{\"ä\": [1, 2.5, null, \"\\u0000\"]}".as_bytes());
    run
}

/// A line on standard output.
#[must_use]
pub fn log_line(project: ProjectId, function: FunctionId, run: Option<RunId>, at: Timestamp, text: &str) -> LogLine {
    LogLine { project, function, run, at, level: LogLevel::Info, stream: LogStream::Stdout, message: text.to_owned() }
}

/// An item for the queue that is due at [`EPOCH`].
#[must_use]
pub fn new_item(project: ProjectId, function: FunctionId) -> NewItem {
    NewItem {
        record: queued_run(project, function, EPOCH),
        not_before: EPOCH,
        priority: 0,
        ordering_key: None,
        input: bytes::Bytes::from_static(b"payload"),
        claim: None,
        redrives: None,
        footprint: Footprint { bytes: 100, ..Footprint::default() },
    }
}

/// As much as there is of one function.
#[must_use]
pub fn everything(project: ProjectId, function: FunctionId) -> Want {
    Want { project, function, max: u32::MAX }
}

/// The end of a lease whose run has succeeded.
#[must_use]
pub fn finish(lease: &Lease) -> Settlement {
    let record = Box::new(succeeded(lease.record.clone()));
    Settlement {
        lease: lease.mark(),
        outcome: RunOutcome::Finish { record, dead: None, follow_ups: FollowUps::default() },
    }
}

/// Forgets all that `expiry` names, step by step, and adds the steps up.
///
/// # Panics
/// When a step fails.
pub async fn expire_all(history: &dyn RunHistory, expiry: &Expiry) -> Expired {
    let mut sum = Expired::default();
    loop {
        let done = history.expire(expiry).await.expect("expire");
        sum.runs += done.runs;
        sum.lines += done.lines;
        sum.reclaimed += done.reclaimed;
        sum.log_bytes = done.log_bytes;
        if !done.more {
            return sum;
        }
    }
}
