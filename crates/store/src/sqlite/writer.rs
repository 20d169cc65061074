//! The thread that owns a database's only writing connection and commits in groups.
//!
//! Commands queue up while a commit waits for the disk; the next transaction takes them all. Each runs inside a
//! savepoint, so that one that fails leaves the others alone. Callers are answered after `COMMIT` only.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use faas_ports::{PortError, PortResult};
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::failure::Severity;
use super::{WorkError, WorkResult};
use crate::StoreError;

/// Commands in one transaction.
const GROUP_MAX: usize = 512;
/// No command joins a transaction that has been open for this long: those in it wait for the answer.
const GROUP_TIME: Duration = Duration::from_millis(10);
/// How long a command waits for room in the queue.
const WAIT: Duration = Duration::from_secs(10);
const WRITE_CONTEXT: &str = "cannot write to the database";

/// What the writer calls.
pub(crate) struct WriterHooks {
    /// After the outcome of a commit has become unknown; the writer takes nothing after that.
    pub(crate) fatal: Arc<dyn Fn(&str) + Send + Sync>,
    /// After a transaction found the disk full, before the log is moved into the database: that may need room, and
    /// gives back more.
    pub(crate) full: Box<dyn Fn() + Send>,
}

/// Sends commands to the thread.
pub(super) struct Writer {
    commands: Mutex<Option<mpsc::Sender<Box<dyn Command>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The thread's side.
struct Worker {
    connection: Connection,
    commands: mpsc::Receiver<Box<dyn Command>>,
    hooks: WriterHooks,
    name: String,
}

/// A unit of work with its caller.
trait Command: Send {
    /// Does the work. Called once. An error says how bad it is for the transaction.
    fn apply(&mut self, connection: &Connection) -> Result<(), Loss>;

    /// Tells the caller. `lost` says that the transaction did not commit.
    fn conclude(self: Box<Self>, lost: Option<&Loss>);
}

struct Job<T, W, N> {
    work: Option<W>,
    outcome: Option<WorkResult<T>>,
    news: N,
    reply: oneshot::Sender<PortResult<T>>,
}

/// Why a whole transaction did not commit.
#[derive(Clone, Debug)]
struct Loss {
    severity: Severity,
    detail: Arc<str>,
}

/// Reports a panic of the thread: without it every later write would fail with no word why.
struct PanicAlarm(Arc<dyn Fn(&str) + Send + Sync>);

// === impl Writer ===

impl Writer {
    pub(super) fn start(
        connection: Connection,
        path: &Path,
        queue: usize,
        hooks: WriterHooks,
    ) -> Result<Self, StoreError> {
        let (sender, commands) = mpsc::channel(queue.max(1));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let worker = Worker { connection, commands, hooks, name: name.clone() };
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || worker.run())
            .map_err(StoreError::io("cannot start the writer of", path))?;
        Ok(Self { commands: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    pub(super) async fn submit<T, W, N>(&self, work: W, news: N) -> PortResult<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> WorkResult<T> + Send + 'static,
        N: FnOnce(&T) + Send + 'static,
    {
        let Some(commands) = self.commands.lock().clone() else { return Err(PortError::Closed("store")) };
        let (reply, answer) = oneshot::channel();
        let job = Job { work: Some(work), outcome: None, news, reply };
        match commands.send_timeout(Box::new(job), WAIT).await {
            Ok(()) => {}
            Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(PortError::Closed("store")),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                return Err(PortError::Full { what: "the store's write queue".into() });
            }
        }
        drop(commands);
        answer.await.unwrap_or(Err(PortError::Closed("store")))
    }

    pub(super) fn stop(&self) {
        drop(self.commands.lock().take());
        if let Some(thread) = self.thread.lock().take() {
            // A panic has been reported by the alarm.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

// === impl Worker ===

impl Worker {
    fn run(mut self) {
        let _alarm = PanicAlarm(Arc::clone(&self.hooks.fatal));
        while let Some(first) = self.commands.blocking_recv() {
            let mut group = Vec::with_capacity(16);
            let end = self.transact(first, &mut group);
            if matches!(end, Err(Loss { severity: Severity::Full, .. })) {
                // Before the answers: a delete that is tried again finds the room of the write-ahead log.
                (self.hooks.full)();
                self.checkpoint();
            }
            for command in group {
                command.conclude(end.as_ref().err());
            }
            if let Err(Loss { severity: Severity::Fatal, detail }) = end {
                (self.hooks.fatal)(&format!("cannot make {} durable: {detail}", self.name));
                return;
            }
        }
        self.checkpoint();
    }

    /// One transaction of `first` and of whatever else waits.
    fn transact(&mut self, first: Box<dyn Command>, group: &mut Vec<Box<dyn Command>>) -> Result<(), Loss> {
        let begun = Instant::now();
        let opened = self.execute("BEGIN IMMEDIATE").map_err(|error| Loss::new(Severity::of(&error), &error));
        let mut next = Some(first);
        let mut end = opened;
        while let Some(mut command) = next.take() {
            if end.is_ok() {
                end = self.apply(command.as_mut());
            }
            group.push(command);
            if end.is_ok() && group.len() < GROUP_MAX && begun.elapsed() < GROUP_TIME {
                next = self.commands.try_recv().ok();
            }
        }
        let end =
            end.and_then(|()| self.execute("COMMIT").map_err(|error| Loss::new(Severity::of_commit(&error), &error)));
        if end.is_err() && !self.connection.is_autocommit() {
            // Where even this fails, the next BEGIN fails too, and its callers get the error.
            let _ = self.execute("ROLLBACK");
        }
        end
    }

    /// One command in its savepoint. An error means that the transaction is lost; a failed command is not an error.
    fn apply(&self, command: &mut dyn Command) -> Result<(), Loss> {
        let lost = |error: rusqlite::Error| Loss::new(Severity::of(&error), &error);
        self.execute("SAVEPOINT command").map_err(lost)?;
        match command.apply(&self.connection) {
            Ok(()) => self.execute("RELEASE command").map_err(lost),
            // SQLite may roll back by itself when the disk is full, savepoints and all.
            Err(loss) if loss.severity == Severity::Fatal || self.connection.is_autocommit() => Err(loss),
            Err(_) => self.execute("ROLLBACK TO command").and_then(|()| self.execute("RELEASE command")).map_err(lost),
        }
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Moves the write-ahead log into the database and gives its room back; at the end this leaves a file that needs
    /// no recovery. A failure is harmless: the log keeps what could not be moved.
    fn checkpoint(&self) {
        let checkpointed = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = checkpointed {
            tracing::warn!(%error, database = self.name, "cannot move the write-ahead log into the database");
        }
    }
}

// === impl Job ===

impl<T, W, N> Command for Job<T, W, N>
where
    T: Send,
    W: FnOnce(&Connection) -> WorkResult<T> + Send,
    N: FnOnce(&T) + Send,
{
    fn apply(&mut self, connection: &Connection) -> Result<(), Loss> {
        let work = self.work.take().expect("a command is applied once");
        let outcome = work(connection);
        let verdict = outcome.as_ref().map(drop).map_err(Loss::of_work);
        self.outcome = Some(outcome);
        verdict
    }

    fn conclude(self: Box<Self>, lost: Option<&Loss>) {
        let result = match (self.outcome, lost) {
            // Before the command's own refusal, which may depend on what another command of the lost group wrote.
            (_, Some(loss)) => Err(loss.to_port()),
            (Some(Err(error)), None) => Err(error.into_port(WRITE_CONTEXT)),
            (Some(Ok(value)), None) => {
                (self.news)(&value);
                Ok(value)
            }
            (None, None) => Err(PortError::Closed("store")),
        };
        // The caller may have gone; its command stays done.
        let _ = self.reply.send(result);
    }
}

// === impl Loss ===

impl Loss {
    fn new(severity: Severity, error: &rusqlite::Error) -> Self {
        Self { severity, detail: error.to_string().into() }
    }

    fn of_work(error: &WorkError) -> Self {
        match error {
            WorkError::Refused(error) => Self { severity: Severity::Command, detail: error.to_string().into() },
            WorkError::Sql(error) => Self::new(Severity::of(error), error),
        }
    }

    fn to_port(&self) -> PortError {
        match self.severity {
            Severity::Full => PortError::StorageFull,
            Severity::Command | Severity::Fatal => PortError::failed(WRITE_CONTEXT, &*self.detail),
        }
    }
}

// === impl PanicAlarm ===

impl Drop for PanicAlarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)("the thread that writes to the database panicked");
        }
    }
}
