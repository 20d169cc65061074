//! One run from acceptance to its terminal state: whatever happens to the call, exactly one record leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_ports::{Inspection, LogEntry, Publishing, UnfinishedLines};
use faas_scheduler::{Permit, WaitTimes, micros};
use faas_telemetry::{CallSample, CanarySample, FunctionStats};
use faas_types::{
    AttemptRecord, ByteSize, Code, Fault, FunctionError, InstanceId, JsonText, LogLevel, LogStream, RunEvent, RunId,
    RunRecord, RunState, Timeline, Timestamp, limits,
};

use tokio_util::task::TaskTracker;

use crate::body_budget::{BodyOwner, Reservation};
use tokio::sync::oneshot;

use crate::failure_line::failure_line;
use crate::hooks::PublishingRun;
use crate::lifecycle::stopping;
use crate::runs::Runs;

/// A run under way. Dropping it before [`RunGuard::finish`] records it as cancelled.
pub struct RunGuard {
    runs: Arc<Runs>,
    stats: Arc<FunctionStats>,
    /// Handed on at the end as it is, for copying it would cost more than ending the run.
    record: Arc<RunRecord>,
    accepted: Instant,
    attempt_began: Option<Instant>,
    permit: Option<Permit>,
    log_bytes: u64,
    unfinished: UnfinishedLines,
    dropped_lines: u64,
    /// Events and messages of this attempt.
    publications: u32,
    finished: bool,
    interrupted: bool,
    /// Takes the record instead of the history, for a run whose end the queue commits.
    sink: Option<oneshot::Sender<Arc<RunRecord>>>,
}

/// How long a handler whose caller went away may take to end before its instance is replaced: a few cold starts.
const SETTLE_WITHIN: Duration = Duration::from_millis(100);

/// How a run ended.
pub(crate) enum Outcome {
    Succeeded,
    Failed(Fault),
    Cancelled,
}

// === impl RunGuard ===

impl RunGuard {
    /// Opens the record of a run.
    pub fn new(runs: Arc<Runs>, stats: Arc<FunctionStats>, record: RunRecord) -> Self {
        stats.begin();
        Self {
            runs,
            stats,
            record: Arc::new(record),
            accepted: Instant::now(),
            attempt_began: None,
            permit: None,
            log_bytes: 0,
            unfinished: UnfinishedLines::default(),
            dropped_lines: 0,
            publications: 0,
            finished: false,
            interrupted: false,
            sink: None,
        }
    }

    /// Another attempt of a run that the queue holds; its record goes to `sink` at the attempt's end. What that means for the
    /// run is decided there.
    pub(crate) fn again(
        runs: Arc<Runs>,
        stats: Arc<FunctionStats>,
        record: RunRecord,
        sink: oneshot::Sender<Arc<RunRecord>>,
    ) -> Self {
        let mut guard = Self::new(runs, stats, record);
        guard.sink = Some(sink);
        guard
    }

    fn record(&mut self) -> &mut RunRecord {
        Arc::make_mut(&mut self.record)
    }

    pub(crate) fn run(&self) -> RunId {
        self.record.id
    }

    pub(crate) fn cold_start(&self) -> bool {
        self.record.cold_start
    }

    pub(crate) fn version(&self) -> u32 {
        self.record.function().version
    }

    /// Since acceptance.
    pub(crate) fn elapsed(&self) -> Duration {
        self.accepted.elapsed()
    }

    /// Where its time went so far.
    pub(crate) fn timeline(&self) -> Timeline {
        match self.record.attempts.last() {
            Some(attempt) => Timeline {
                queue_us: attempt.queue_us,
                start: attempt.start,
                handler_us: self.attempt_began.map_or(0, |began| micros(began.elapsed())),
            },
            None => Timeline { queue_us: micros(self.accepted.elapsed()), ..Timeline::default() },
        }
    }

    /// The number of the attempt under way, from 1.
    pub(crate) fn attempt(&self) -> u32 {
        self.record.attempts.last().map_or(1, |attempt| attempt.number)
    }

    pub(crate) fn permit(&self) -> Option<&Permit> {
        self.permit.as_ref()
    }

    /// The attempt begins with this permit, in the version that was live when it was granted.
    pub(crate) fn start(&mut self, permit: Permit, version: u32, now: Timestamp) {
        let wait = permit.handle.readiness.wait(self.accepted, Instant::now());
        let record = self.record();
        record.function_mut().version = version;
        record.cold_start = wait.start.is_some();
        record.isolation = permit.handle.instance.isolation();
        self.open_attempt(Some(permit.handle.instance.id()), wait, now);
        self.permit = Some(permit);
    }

    fn open_attempt(&mut self, instance: Option<InstanceId>, wait: WaitTimes, now: Timestamp) {
        let id = self.runs.ids.mint(now);
        self.advance(RunEvent::Start);
        let record = self.record();
        let number = u32::try_from(record.attempts.len() + 1).unwrap_or(u32::MAX);
        record.started_at = Some(now);
        record.attempts.push(AttemptRecord {
            id,
            number,
            instance,
            started_at: now,
            finished_at: None,
            cold_start: record.cold_start,
            queue_us: micros(wait.queue),
            start: wait.start,
            handler_us: 0,
            peak_memory_bytes: None,
            cpu_us: None,
            dropped_log_lines: 0,
            code: None,
            message: None,
            error: None,
        });
        self.attempt_began = Some(Instant::now());
    }

    /// Keeps a line of the user's code within the run's limit.
    pub(crate) fn log(&mut self, entry: LogEntry) {
        let mut entry = self.unfinished.complete(entry);
        if let Some(permit) = &self.permit {
            permit.handle.redact(&mut entry.message);
        }
        self.log_bytes += entry.message.len() as u64 + limits::LOG_LINE_COST;
        if self.log_bytes > limits::LOG_BYTES_PER_RUN {
            self.add_dropped_lines(1);
            return;
        }
        self.runs.recorder.log(self.record.project, self.record.function().id, Some(self.record.id), entry);
    }

    /// Keeps a part of a line until the rest comes, or the run ends without it.
    pub(crate) fn begin_line(&mut self, part: LogEntry) {
        self.unfinished.extend(part);
    }

    /// Publishes or sends something in the run's name. Answered by another task, so that the run's own timeout goes on; what
    /// has begun is carried to its end even when the run is not.
    pub(crate) fn publish(&mut self, publishing: Publishing) {
        self.publications += 1;
        let Publishing { publication, reply } = publishing;
        let publisher = match PublishingRun::of(&self.record, self.publications) {
            Ok(run) => run,
            Err(fault) => return reply.answer(Err(fault)),
        };
        let Some(service) = self.runs.hooks.publisher() else { return reply.answer(Err(stopping())) };
        self.runs.lifecycle.spawn(async move { reply.answer(service.publish_for(publisher, publication).await) });
    }

    pub(crate) fn add_dropped_lines(&mut self, lines: u64) {
        self.dropped_lines = self.dropped_lines.saturating_add(lines);
    }

    pub(crate) fn set_reply(&mut self, status: u16, result: Option<JsonText>) {
        let record = self.record();
        (record.http_status, record.result) = (Some(status), result);
    }

    /// Ends the run and releases its permit.
    pub(crate) fn finish(mut self, outcome: Outcome) {
        self.close(outcome);
    }

    fn close(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        for line in self.unfinished.take() {
            self.log(line);
        }
        let (event, fault) = match outcome {
            Outcome::Succeeded => (RunEvent::Succeed, None),
            Outcome::Cancelled => (RunEvent::Cancel, Some(cancelled())),
            Outcome::Failed(fault) => (RunEvent::Fail { retryable: false }, Some(fault)),
        };
        let now = self.runs.clock.now();
        if self.record.state() != RunState::Running && event != RunEvent::Cancel {
            // No instance could take it: that is an attempt too, without an instance.
            self.open_attempt(None, WaitTimes { queue: self.accepted.elapsed(), start: None }, now);
        }
        if self.sink.is_none() {
            self.advance(event);
        }
        let took = self.accepted.elapsed();
        let code = fault.as_ref().map(|fault| fault.code);
        self.close_attempt(now, code);
        if self.dropped_lines > 0 {
            self.note_cut_log(now);
        }
        if let Some(fault) = fault {
            self.note_failure(fault, now);
        }
        let record = self.record();
        (record.finished_at, record.duration_us) = (Some(now), Some(micros(took)));
        self.stats.end(&self.ended(took, code));
        // The permit is released before the record leaves: the next call must not wait for bookkeeping.
        self.give_back(code == Some(Code::Cancelled));
        match self.sink.take() {
            // The execution waits for it as long as it lives.
            Some(sink) => drop(sink.send(Arc::clone(&self.record))),
            None => self.runs.recorder.run(Arc::clone(&self.record)),
        }
    }

    /// An interrupted call may still run inside an instance that takes one at a time: that is then asked, and replaced
    /// unless the handler ends soon. One that is shared stops the call alone.
    fn give_back(&mut self, was_cancelled: bool) {
        let Some(mut permit) = self.permit.take() else { return };
        let is_shared = permit.handle.instance.concurrency() > 1;
        if !permit.reusable || is_shared || !(was_cancelled || self.interrupted) {
            return;
        }
        permit.reusable = false;
        if tokio::runtime::Handle::try_current().is_ok() {
            // A handler that a debugger has stopped ends after the debugging session.
            let within = self.runs.inspection.as_ref().map_or(SETTLE_WITHIN, |_| Inspection::PATIENCE);
            let stop = self.runs.lifecycle.token().clone();
            self.runs.lifecycle.spawn(async move {
                permit.reusable = tokio::select! {
                    settled = permit.handle.instance.settle(within) => settled,
                    () = stop.cancelled() => false,
                };
                drop(permit);
            });
        }
    }

    fn ended(&self, took: Duration, code: Option<Code>) -> CallSample {
        let attempt = self.record.attempts.last();
        CallSample {
            took,
            cold: self.record.cold_start,
            code,
            memory: attempt.and_then(|attempt| attempt.peak_memory_bytes),
            cpu_us: attempt.and_then(|attempt| attempt.cpu_us),
            cut_log_lines: self.dropped_lines,
            canary: CanarySample {
                version: self.record.function().version,
                handler: Duration::from_micros(attempt.map_or(0, |attempt| attempt.handler_us)),
                status: self.record.http_status,
            },
        }
    }

    fn advance(&mut self, event: RunEvent) {
        // Attempts of a run that may have several are bounded where its end is decided.
        if let Err(error) = self.record().take(event, 1) {
            tracing::error!(%error, run_id = %self.record.id, "a run took an illegal turn");
        }
    }

    fn close_attempt(&mut self, now: Timestamp, code: Option<Code>) {
        let took = self.attempt_began.map_or(Duration::ZERO, |began| began.elapsed());
        let Some(attempt) = Arc::make_mut(&mut self.record).attempts.last_mut() else { return };
        attempt.finished_at = Some(now);
        attempt.code = code;
        attempt.dropped_log_lines = self.dropped_lines;
        attempt.handler_us = micros(took);
        if let Some(permit) = &mut self.permit {
            let usage = permit.handle.usage_of_call(took, Instant::now());
            attempt.peak_memory_bytes = usage.peak_memory_bytes;
            attempt.cpu_us = usage.cpu_us;
            let breaks = matches!(code, Some(Code::TimeoutExceeded | Code::MemoryExceeded | Code::Internal));
            permit.reusable &= !breaks;
        }
    }

    fn note_failure(&mut self, fault: Fault, now: Timestamp) {
        let message = match fault.function_error.as_deref() {
            Some(FunctionError { kind, message, .. }) => format!("{kind}: {message}"),
            None => fault.message.clone(),
        };
        self.say(LogLevel::Error, failure_line(&fault), now);
        // A call has one attempt, whose error is the run's.
        let is_one_of_several = self.sink.is_some();
        let record = self.record();
        if is_one_of_several && let Some(attempt) = record.attempts.last_mut() {
            attempt.error = fault.function_error.clone().map(|error| error.abridged());
        }
        record.code = Some(fault.code);
        record.message = Some(message);
        record.error = fault.function_error.map(|error| *error);
    }

    /// The call was broken off while its handler ran.
    pub(crate) fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// Nothing yet of the memory for bodies, to grow with the reply's.
    pub(crate) fn room_for_body(&self) -> Reservation {
        self.runs.bodies.open(BodyOwner { project: self.record.project, function: self.record.function().id })
    }

    /// Where the work of a call that outlives its caller's request belongs.
    pub(crate) fn tasks(&self) -> TaskTracker {
        self.runs.lifecycle.tasks().clone()
    }

    fn note_cut_log(&self, now: Timestamp) {
        let (code, lines) = (Code::LogLimit, self.dropped_lines);
        let most = ByteSize::from_bytes(limits::LOG_BYTES_PER_RUN);
        self.say(LogLevel::Warn, format!("{code} the run wrote more than {most} of log: {lines} lines were cut"), now);
    }

    /// A line of the platform in the run's log.
    fn say(&self, level: LogLevel, message: String, now: Timestamp) {
        let entry = LogEntry { at: now, level, stream: LogStream::Platform, message };
        self.runs.recorder.log(self.record.project, self.record.function().id, Some(self.record.id), entry);
    }

    /// Marks the instance as unfit for another call.
    pub(crate) fn spoil(&mut self) {
        if let Some(permit) = &mut self.permit {
            permit.reusable = false;
        }
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        self.close(Outcome::Cancelled);
    }
}

fn cancelled() -> Fault {
    Fault::new(Code::Cancelled, "the caller went away before the reply was complete")
}
