//! From the end of an attempt to what the queue is told.

use std::time::Duration;

use bytes::Bytes;
use faas_ports::{FollowUps, Lease, LogEntry, ReplyHead, RunOutcome};
use faas_types::{Background, Code, Fault, JsonText, LogLevel, LogStream, RunEvent, RunRecord, Timestamp, cut, limits};

use crate::attempt_outcome::AttemptOutcome;
use crate::payload::http_reply;
use crate::retry::{self, GiveUpReason, Next, Tried};
use crate::runs::Runs;

/// An attempt with what decides on its consequence.
pub(super) struct FinishedAttempt {
    /// The function's, with what the caller wanted otherwise.
    pub(super) settings: Background,
    pub(super) end: AttemptEnd,
}

/// How an attempt ended.
pub(super) enum AttemptEnd {
    Answered {
        head: ReplyHead,
        body: Bytes,
    },
    /// It answered that some of its messages are not done: those at these places, or all that were left where the answer
    /// itself is wrong.
    Partly {
        head: ReplyHead,
        left: Option<Vec<u16>>,
        why: Option<String>,
    },
    Failed(Fault),
    /// It was not begun: none may be.
    Spent(GiveUpReason),
}

/// What the queue is told; what follows the run's end is added to it. `record` is the run with this attempt, where one was begun.
pub(super) fn of(runs: &Runs, lease: &Lease, trial: FinishedAttempt, record: Option<Box<RunRecord>>) -> RunOutcome {
    let now = runs.clock.now();
    // The attempt has said so itself.
    let is_logged = record.is_some() && matches!(trial.end, AttemptEnd::Failed(_));
    let mut record = joined(lease, record);
    let outcome = match &trial.end {
        AttemptEnd::Answered { head, .. } => http_reply::outcome(head.status),
        AttemptEnd::Partly { .. } => AttemptOutcome::Failed(Code::RuntimeError),
        AttemptEnd::Failed(fault) if runs.lifecycle.is_stopping() && is_interruption(fault) => {
            AttemptOutcome::Interrupted
        }
        AttemptEnd::Failed(fault) => AttemptOutcome::Failed(fault.code),
        AttemptEnd::Spent(_) => AttemptOutcome::Failed(Code::TimeoutExceeded),
    };
    let attempts = u32::try_from(record.attempts.len()).unwrap_or(u32::MAX);
    let tried = Tried { created_at: record.created_at, attempts, now };
    #[expect(clippy::cast_possible_truncation, reason = "any 64 of the random bits do")]
    let next = match trial.end {
        AttemptEnd::Spent(straw) => Next::Bury(straw),
        _ => retry::next(&trial.settings.retry, tried, outcome, runs.ids.entropy() as u64),
    };
    match next {
        Next::Return(not_before) => return RunOutcome::Return { not_before },
        Next::Succeed => keep_result(&mut record, trial.end),
        Next::Retry(_) | Next::Bury(_) => {
            note_failure(&mut record, trial.end);
            if !is_logged {
                log_failure(runs, &record, now);
            }
        }
    }
    match next {
        Next::Retry(at) => {
            advance(&mut record, RunEvent::Fail { retryable: true }, trial.settings.retry.max_attempts);
            (record.finished_at, record.duration_us, record.due_at) = (None, None, Some(at));
            RunOutcome::Retry { record, not_before: at }
        }
        Next::Bury(straw) => {
            end(&mut record, RunEvent::Fail { retryable: false }, now);
            RunOutcome::Finish { record, dead: Some(straw.as_str().to_owned()), follow_ups: FollowUps::default() }
        }
        _ => {
            end(&mut record, RunEvent::Succeed, now);
            RunOutcome::Finish { record, dead: None, follow_ups: FollowUps::default() }
        }
    }
}

/// The run ends because somebody asked for it.
pub(super) fn cancelled(runs: &Runs, lease: &Lease, record: Option<Box<RunRecord>>) -> RunOutcome {
    let mut record = joined(lease, record);
    cancel(&mut record, runs.clock.now());
    RunOutcome::Finish { record, dead: None, follow_ups: FollowUps::default() }
}

/// Makes a run a cancelled one.
pub(crate) fn cancel(record: &mut RunRecord, now: Timestamp) {
    record.code = Some(Code::Cancelled);
    record.message = Some("the run was cancelled on request".to_owned());
    record.error = None;
    end(record, RunEvent::Cancel, now);
    record.due_at = None;
}

fn joined(lease: &Lease, record: Option<Box<RunRecord>>) -> Box<RunRecord> {
    let mut record = record.unwrap_or_else(|| Box::new(lease.record.clone()));
    let first = lease.record.started_at;
    record.started_at = first.or(record.started_at);
    let due = lease.record.due_at.unwrap_or(lease.record.created_at);
    let before = lease.record.attempts.len();
    if let Some(attempt) = record.attempts.get_mut(before) {
        let waited = attempt.started_at.since(due);
        attempt.queue_us = attempt.queue_us.max(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
    }
    record
}

fn end(record: &mut RunRecord, event: RunEvent, now: Timestamp) {
    advance(record, event, 1);
    record.finished_at = Some(now);
    record.duration_us = u64::try_from(since_due(record, now).as_micros()).ok();
}

/// The time since a run's first attempt could begin: a delay that its caller wished is no part of its duration.
fn since_due(record: &RunRecord, now: Timestamp) -> Duration {
    match record.attempts.first() {
        Some(first) => now.since(first.started_at) + Duration::from_micros(first.queue_us),
        None => now.since(record.due_at.unwrap_or(record.created_at)),
    }
}

fn advance(record: &mut RunRecord, event: RunEvent, attempts_max: u32) {
    if let Err(error) = record.take(event, attempts_max) {
        tracing::error!(%error, run_id = %record.id, "a run took an illegal turn");
    }
}

fn keep_result(record: &mut RunRecord, end: AttemptEnd) {
    let AttemptEnd::Answered { head, body } = end else { return };
    record.http_status = Some(head.status);
    if record.result.is_none() && body.len() <= limits::RESULT_KEPT_MAX {
        record.result = JsonText::parse(&body);
    }
}

fn note_failure(record: &mut RunRecord, end: AttemptEnd) {
    let (code, message) = match end {
        AttemptEnd::Answered { head, .. } => {
            record.http_status = Some(head.status);
            (Code::RuntimeError, http_reply::failure(head.status))
        }
        AttemptEnd::Partly { head, left, why } => {
            record.http_status = Some(head.status);
            let message = why.unwrap_or_else(|| not_done(record, left.as_ref()));
            if let (Some(batch), Some(left)) = (&mut record.batch, left) {
                batch.left = Some(left);
            }
            (Code::RuntimeError, message)
        }
        AttemptEnd::Failed(fault) => (fault.code, record.message.take().unwrap_or(fault.message)),
        // What the last attempt said stays.
        AttemptEnd::Spent(straw) => (
            record.code.unwrap_or(Code::TimeoutExceeded),
            record.message.take().unwrap_or_else(|| straw.as_str().to_owned()),
        ),
    };
    record.code = Some(code);
    if let Some(attempt) = record.attempts.last_mut() {
        attempt.code = Some(code);
        attempt.message = Some(message.clone());
    }
    record.message = Some(message);
}

/// Puts a failure that no attempt has said by itself into the run's log.
fn log_failure(runs: &Runs, record: &RunRecord, now: Timestamp) {
    let (Some(code), Some(message)) = (record.code, &record.message) else { return };
    let message = cut(format!("{code} {message}"), limits::LOG_LINE_MAX);
    let entry = LogEntry { at: now, level: LogLevel::Error, stream: LogStream::Platform, message };
    runs.recorder.log(record.project, record.function().id, Some(record.id), entry);
}

fn not_done(record: &RunRecord, left: Option<&Vec<u16>>) -> String {
    let all =
        record.batch.as_ref().map_or(0, |batch| batch.left.as_ref().map_or(usize::from(batch.messages), Vec::len));
    format!("the function answered that {} of {all} messages are not done", left.map_or(all, Vec::len))
}

/// What a stopping server does to attempts, as opposed to what the function did itself.
fn is_interruption(fault: &Fault) -> bool {
    let own =
        matches!(fault.code, Code::TimeoutExceeded | Code::MemoryExceeded | Code::BadRequest | Code::PayloadTooLarge);
    fault.function_error.is_none() && !own
}
