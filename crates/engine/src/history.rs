//! Questions about what ran, and followers of what is being written.

use std::time::Duration;

use faas_ports::{LogPage, LogQuery, RunPage, RunQuery};
use faas_types::{Code, Fault, ProjectId, RunId, RunRecord};
use futures_util::StreamExt;

use crate::engine::Engine;
use crate::recorder::pattern;

/// Rows that a follower reads at once.
const FOLLOW_BATCH: u32 = 500;
/// A follower looks this often even when no news came, so that a lost event only delays it.
const FOLLOW_EVERY: Duration = Duration::from_secs(2);

/// The end of a run is not announced; who follows its log looks this often.
const FOLLOW_RUN_EVERY: Duration = Duration::from_millis(500);

/// Reads log lines as they are stored.
pub struct LogFollower {
    engine: Engine,
    query: LogQuery,
    news: faas_ports::EventStream,
    /// The run was seen ended, so that all its lines are stored.
    over: bool,
}

// === impl Engine ===

impl Engine {
    /// One run; everything recorded before this call is seen.
    ///
    /// # Errors
    /// `FN_013` when the project has no such run.
    pub async fn run(&self, project: ProjectId, id: RunId) -> Result<RunRecord, Fault> {
        if let Some(run) = self.core.history.run(project, id).await? {
            return Ok(run);
        }
        self.core.recorder.flush().await;
        self.core.history.run(project, id).await?.ok_or_else(|| {
            Fault::new(Code::NotFound, format!("no run `{id}`"))
                .with_hint("a run is listed once it has ended; records are kept until their retention ends")
        })
    }

    /// A page of runs; everything recorded before this call is seen.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn runs(&self, query: &RunQuery) -> Result<RunPage, Fault> {
        self.core.recorder.flush().await;
        Ok(self.core.history.runs(query).await?)
    }

    /// A page of log lines; everything written before this call is seen.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn logs(&self, query: &LogQuery) -> Result<LogPage, Fault> {
        self.core.recorder.flush().await;
        Ok(self.core.history.logs(query).await?)
    }

    /// Follows the lines that a query selects, from its cursor on.
    ///
    /// # Errors
    /// When the news cannot be subscribed to.
    pub async fn follow_logs(&self, query: LogQuery) -> Result<LogFollower, Fault> {
        let news = self.core.events.subscribe(&pattern(query.project, query.function)).await?;
        let tail = query.after.is_none() && query.tail;
        let limit = if tail { query.limit } else { FOLLOW_BATCH };
        let query = LogQuery { limit, tail, ..query };
        Ok(LogFollower { engine: self.clone(), query, news, over: false })
    }
}

// === impl LogFollower ===

impl LogFollower {
    /// The next lines; waits until there are some, or answers with none now and then so that the caller can see
    /// whether anybody still listens. Nothing is read twice, found or not: [`LogPage::next`] is where it stands.
    /// `None` once the server stops, or once the run that the query names has ended and all its lines were given.
    pub async fn next(&mut self) -> Option<Result<LogPage, Fault>> {
        loop {
            let page = match self.engine.core.history.logs(&self.query).await {
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
                // What it wrote may still be on its way to the store: one more look after that finds it all.
                Ok(true) => {
                    self.engine.core.recorder.flush().await;
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
        let found = self.engine.core.history.run(self.query.project, run).await?;
        Ok(found.is_some_and(|run| run.state.is_terminal()))
    }

    /// Until there is news or it is time to look; false once the server stops.
    async fn wait(&mut self) -> bool {
        let every = if self.query.run.is_some() { FOLLOW_RUN_EVERY } else { FOLLOW_EVERY };
        tokio::select! {
            () = self.engine.core.stop.cancelled() => false,
            _ = tokio::time::timeout(every, self.news.next()) => true,
        }
    }
}
