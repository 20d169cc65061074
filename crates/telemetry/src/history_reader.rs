//! Queries of runs and log lines, and readers that follow a log while it is written.

use std::sync::Arc;
use std::time::Duration;

use faas_ports::{EventStream, Events, LogPage, LogQuery, RunHistory, RunPage, RunQuery};
use faas_types::{Fault, ProjectId, Reason, RunId, RunRecord};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::recorder::{Recorder, pattern};

/// Lines that a follower reads at once.
const FOLLOW_BATCH: u32 = 500;
/// A follower looks this often even without an event, so that a lost event only delays it.
const FOLLOW_EVERY: Duration = Duration::from_secs(2);

/// No event announces the end of a run, so a follower of its log looks this often.
const FOLLOW_RUN_EVERY: Duration = Duration::from_millis(500);

/// Reads the history. Sees everything that was recorded before a call. Cheap to clone.
#[derive(Clone)]
pub struct HistoryReader {
    history: Arc<dyn RunHistory>,
    events: Arc<dyn Events>,
    recorder: Recorder,
    stop: CancellationToken,
}

/// Reads log lines as they are stored.
pub struct LogTail {
    reader: HistoryReader,
    query: LogQuery,
    events: EventStream,
    /// The run has ended and all its lines are stored.
    over: bool,
}

// === impl HistoryReader ===

impl HistoryReader {
    /// A reader of what `recorder` stores. Its tails end with `stop`.
    pub fn new(
        history: Arc<dyn RunHistory>,
        events: Arc<dyn Events>,
        recorder: Recorder,
        stop: CancellationToken,
    ) -> Self {
        Self { history, events, recorder, stop }
    }

    /// One run.
    ///
    /// # Errors
    /// `FN_013` when the project has no such run.
    pub async fn run(&self, project: ProjectId, id: RunId) -> Result<RunRecord, Fault> {
        if let Some(run) = self.history.run(project, id).await? {
            return Ok(run);
        }
        self.recorder.flush().await;
        self.history.run(project, id).await?.ok_or_else(|| {
            Fault::new(Reason::RunNotFound, format!("no run `{id}`"))
                .with_hint("a run is listed once it has ended; records are kept until their retention ends")
        })
    }

    /// A page of runs.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn runs(&self, query: &RunQuery) -> Result<RunPage, Fault> {
        self.recorder.flush().await;
        Ok(self.history.runs(query).await?)
    }

    /// A page of log lines.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn logs(&self, query: &LogQuery) -> Result<LogPage, Fault> {
        self.recorder.flush().await;
        Ok(self.history.logs(query).await?)
    }

    /// Follows the lines that a query selects, from its cursor on.
    ///
    /// # Errors
    /// When the events cannot be subscribed to.
    pub async fn follow_logs(&self, query: LogQuery) -> Result<LogTail, Fault> {
        let events = self.events.subscribe(&pattern(query.project, query.function)).await?;
        let tail = query.after.is_none() && query.tail;
        let limit = if tail { query.limit } else { FOLLOW_BATCH };
        let query = LogQuery { limit, tail, ..query };
        Ok(LogTail { reader: self.clone(), query, events, over: false })
    }
}

// === impl LogTail ===

impl LogTail {
    /// The next page of lines. Waits for lines, but returns an empty page now and then, so that the caller can check
    /// whether its client is still connected. Never reads a line twice; [`LogPage::next`] is the cursor after the page.
    /// `None` once the server stops, or once the run that the query names has ended and all its lines were returned.
    pub async fn next(&mut self) -> Option<Result<LogPage, Fault>> {
        loop {
            let page = match self.reader.history.logs(&self.query).await {
                Ok(page) => page,
                Err(error) => return Some(Err(error.into())),
            };
            (self.query.tail, self.query.limit) = (false, FOLLOW_BATCH);
            self.query.after = Some(page.next);
            if !page.lines.is_empty() || page.more {
                return Some(Ok(page));
            }
            if self.over {
                return None;
            }
            match self.has_ended().await {
                // Its last lines may still be queued: after a flush, one more read finds them all.
                Ok(true) => {
                    self.reader.recorder.flush().await;
                    self.over = true;
                }
                Ok(false) => return self.wait().await.then_some(Ok(page)),
                Err(fault) => return Some(Err(fault)),
            }
        }
    }

    /// Whether this is the log of a run that has ended.
    pub fn is_over(&self) -> bool {
        self.over
    }

    async fn has_ended(&mut self) -> Result<bool, Fault> {
        let Some(run) = self.query.run else { return Ok(false) };
        let found = self.reader.history.run(self.query.project, run).await?;
        Ok(found.is_some_and(|run| run.state().is_terminal()))
    }

    /// Until an event comes or it is time to look; false once the server stops.
    async fn wait(&mut self) -> bool {
        let every = if self.query.run.is_some() { FOLLOW_RUN_EVERY } else { FOLLOW_EVERY };
        tokio::select! {
            () = self.reader.stop.cancelled() => false,
            _ = tokio::time::timeout(every, self.events.next()) => true,
        }
    }
}
