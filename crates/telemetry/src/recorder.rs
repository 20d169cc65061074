//! The write-behind queue of run records and log lines.
//!
//! A separate thread takes batches from it and stores them: a worker that sorts a thousand records would leave the
//! connections that it drives waiting.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_ports::{Event, Events, LogEntry, RunHistory};
use faas_types::{Fault, FunctionId, LogLine, ProjectId, RunId, RunRecord};
use tokio::runtime;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::log_quota::LogQuota;
use crate::stats::Stats;

/// Records and lines that may wait; more are counted as dropped.
const QUEUE: usize = 65_536;
/// Part of the queue that is reserved for run records.
const RECORDS: usize = QUEUE / 2;
/// Rows in one batch.
const BATCH: usize = 4_000;
/// How long a batch gathers after its first row. Under a steady load this makes few commits: a transaction of thousands of
/// rows touches hardly more pages than one of ten. A reader of the history ends the wait early.
const GATHER: Duration = Duration::from_millis(100);
/// How long a reader waits for queued rows to be stored.
const FLUSH_PATIENCE: Duration = Duration::from_secs(10);

/// Puts rows into the write-behind queue. Cheap to clone; never blocks.
#[derive(Clone)]
pub struct Recorder {
    rows: mpsc::Sender<Row>,
    stats: Arc<Stats>,
    quota: Arc<LogQuota>,
    /// Ends the wait for a fuller batch.
    urgent: Arc<Notify>,
}

enum Row {
    Run(Arc<RunRecord>),
    Log(Box<LogLine>),
    /// Answers once every row before it is stored.
    Flush(oneshot::Sender<()>),
    /// Ends the writer; later rows are not stored.
    Stop,
}

struct Writer {
    rows: mpsc::Receiver<Row>,
    history: Arc<dyn RunHistory>,
    events: Arc<dyn Events>,
    stats: Arc<Stats>,
    quota: Arc<LogQuota>,
    urgent: Arc<Notify>,
}

// === impl Row ===

impl Row {
    /// Whether a reader waits for it.
    fn is_urgent(&self) -> bool {
        matches!(self, Self::Flush(_) | Self::Stop)
    }
}

// === impl Recorder ===

impl Recorder {
    /// Starts the writer thread, which calls `lower_priority` first. It ends with [`stop`](Self::stop), or when the last clone
    /// is dropped.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(
        history: Arc<dyn RunHistory>,
        events: Arc<dyn Events>,
        stats: Arc<Stats>,
        lower_priority: fn(),
    ) -> Result<Self, Fault> {
        let failed = |error: std::io::Error| Fault::internal(format!("cannot start the recorder: {error}"));
        let (sender, rows) = mpsc::channel(QUEUE);
        let quota = Arc::new(LogQuota::default());
        let urgent = Arc::new(Notify::new());
        let recorder = Self { rows: sender, stats, quota, urgent };
        let Self { stats, quota, urgent, .. } = recorder.clone();
        let writer = Writer { rows, history, events, stats, quota, urgent };
        let clock = runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let work = move || {
            lower_priority();
            clock.block_on(writer.run());
        };
        std::thread::Builder::new().name("recorder".to_owned()).spawn(work).map_err(failed)?;
        Ok(recorder)
    }

    /// Queues the record of a run that ended.
    pub fn run(&self, record: Arc<RunRecord>) {
        if self.rows.try_send(Row::Run(record)).is_err() {
            self.stats.record_dropped();
        }
        self.flush_when_full();
    }

    /// A queue that fills up is stored at once.
    fn flush_when_full(&self) {
        if self.rows.capacity() < QUEUE - BATCH {
            self.urgent.notify_one();
        }
    }

    /// Queues a log line. It is dropped, and counted, when the queue is full or the function is over its quota.
    pub fn log(&self, project: ProjectId, function: FunctionId, run: Option<RunId>, entry: LogEntry) {
        let LogEntry { at, level, stream, message } = entry;
        if self.rows.capacity() <= RECORDS || !self.quota.admit(function, &message) {
            return self.stats.log_dropped(1);
        }
        let line = Box::new(LogLine { project, function, run, at, level, stream, message });
        if let Err(error) = self.rows.try_send(Row::Log(line)) {
            if let Row::Log(line) = error.into_inner() {
                self.quota.give_back(function, &line.message);
            }
            self.stats.log_dropped(1);
        }
        self.flush_when_full();
    }

    /// Waits until every row queued so far is stored, so that a query sees it.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.rows.send(Row::Flush(done)).await.is_ok() {
            self.urgent.notify_one();
            let _ = tokio::time::timeout(FLUSH_PATIENCE, wait).await;
        }
    }

    /// Stores every row queued so far, then ends the writer.
    pub async fn stop(&self) {
        self.flush().await;
        let _ = self.rows.send_timeout(Row::Stop, FLUSH_PATIENCE).await;
        self.urgent.notify_one();
    }
}

// === impl Writer ===

impl Writer {
    async fn run(mut self) {
        let mut rows = Vec::with_capacity(BATCH);
        while self.rows.recv_many(&mut rows, BATCH).await > 0 {
            if !rows.iter().any(Row::is_urgent) && rows.len() < BATCH {
                // Not woken by each row: at tens of thousands a second that would cost more than storing them.
                tokio::select! {
                    () = tokio::time::sleep(GATHER) => {}
                    () = self.urgent.notified() => {}
                }
                while rows.len() < BATCH
                    && let Ok(row) = self.rows.try_recv()
                {
                    rows.push(row);
                }
            }
            let is_last = rows.iter().any(|row| matches!(row, Row::Stop));
            self.store(&mut rows).await;
            if is_last {
                return;
            }
        }
    }

    async fn store(&self, rows: &mut Vec<Row>) {
        // Records are large: a vector of thousands that grows would copy all of them some times.
        let mut runs = Vec::with_capacity(rows.iter().filter(|row| matches!(row, Row::Run(_))).count());
        let (mut lines, mut flushed) = (Vec::new(), Vec::new());
        for row in rows.drain(..) {
            match row {
                Row::Run(run) => runs.push(Arc::unwrap_or_clone(run)),
                Row::Log(line) => lines.push(*line),
                Row::Flush(done) => flushed.push(done),
                Row::Stop => {}
            }
        }
        self.store_lines(lines).await;
        self.store_runs(runs).await;
        for done in flushed {
            // The reader may have given up.
            let _ = done.send(());
        }
    }

    async fn store_runs(&self, runs: Vec<RunRecord>) {
        let count = runs.len();
        if count > 0
            && let Err(error) = self.history.record(runs).await
        {
            tracing::error!(%error, count, "run records are lost");
            (0..count).for_each(|_| self.stats.record_dropped());
        }
    }

    async fn store_lines(&self, lines: Vec<LogLine>) {
        if lines.is_empty() {
            return;
        }
        self.quota.dequeued(&lines);
        let count = lines.len() as u64;
        let mut subjects: Vec<String> = lines.iter().map(|line| subject(line.project, line.function)).collect();
        subjects.sort_unstable();
        subjects.dedup();
        if let Err(error) = self.history.append_logs(lines).await {
            tracing::error!(%error, count, "log lines are lost");
            self.stats.log_dropped(count);
        }
        for subject in subjects {
            // Followers only wake up on it and read the history, so a lost event delays them but loses no line.
            let _ = self.events.publish(Event { subject, payload: Bytes::new() }).await;
        }
    }
}

/// The subject of events that are published after log lines of a function were stored.
pub(crate) fn subject(project: ProjectId, function: FunctionId) -> String {
    format!("logs.{project}.{function}")
}

/// The subjects of all functions of a project, or of one of them.
pub(crate) fn pattern(project: ProjectId, function: Option<FunctionId>) -> String {
    function.map_or_else(|| format!("logs.{project}.*"), |function| subject(project, function))
}
