//! Questions about what ran, and followers of what is being written.

use std::time::Duration;

use faas_ports::{LogPage, LogQuery, RunPage, RunQuery};
use faas_types::{Code, Fault, FunctionId, ProjectId, RunId, RunRecord};
use futures_util::StreamExt;

use crate::engine::Engine;
use crate::recorder::subject;

/// Rows that a follower reads at once.
const FOLLOW_BATCH: u32 = 500;
/// A follower looks this often even when no news came, so that a lost event only delays it.
const FOLLOW_EVERY: Duration = Duration::from_secs(2);

/// Reads log lines as they are stored.
pub struct LogFollower {
    engine: Engine,
    query: LogQuery,
    news: faas_ports::EventStream,
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
    pub async fn follow_logs(&self, function: FunctionId, query: LogQuery) -> Result<LogFollower, Fault> {
        let news = self.core.events.subscribe(&subject(query.project, function)).await?;
        let tail = query.after.is_none() && query.tail;
        let limit = if tail { query.limit } else { FOLLOW_BATCH };
        let query = LogQuery { limit, tail, ..query };
        Ok(LogFollower { engine: self.clone(), query, news })
    }
}

// === impl LogFollower ===

impl LogFollower {
    /// The next lines; waits until there are some, or answers with none now and then so that the caller can see
    /// whether anybody still listens. `None` once the server stops.
    pub async fn next(&mut self) -> Option<Result<LogPage, Fault>> {
        let page = match self.engine.core.history.logs(&self.query).await {
            Ok(page) => page,
            Err(error) => return Some(Err(error.into())),
        };
        (self.query.tail, self.query.limit) = (false, FOLLOW_BATCH);
        if let Some((cursor, _)) = page.lines.last() {
            self.query.after = Some(*cursor);
            return Some(Ok(page));
        }
        if self.query.after.is_none() {
            self.query.after = Some(0);
        }
        tokio::select! {
            () = self.engine.core.stop.cancelled() => None,
            _ = tokio::time::timeout(FOLLOW_EVERY, self.news.next()) => Some(Ok(LogPage::default())),
        }
    }
}
