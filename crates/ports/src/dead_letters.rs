//! Runs that were given up, and the inputs of runs.

use async_trait::async_trait;
use bytes::Bytes;
use faas_types::{Code, Digest, FunctionId, ProjectId, RunId, RunRecord, Timestamp};

use crate::PortResult;

/// A run that was given up.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// The run with all its attempts.
    pub record: RunRecord,
    /// Why no attempt followed.
    pub reason: String,
    /// When it was given up.
    pub died_at: Timestamp,
}

/// Which dead letters to list.
#[derive(Clone, Debug)]
pub struct DeadLetterQuery {
    /// The owner.
    pub project: ProjectId,
    /// Only this function's.
    pub function: Option<FunctionId>,
    /// Only with this code.
    pub code: Option<Code>,
    /// Only accepted at or after this time, as their ids tell.
    pub since: Option<Timestamp>,
    /// Only accepted before this time, as their ids tell.
    pub until: Option<Timestamp>,
    /// After this run, going back in time.
    pub after: Option<RunId>,
    /// The maximum of rows.
    pub limit: u32,
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Dead letters, and inputs that belonged to none.
    pub rows: u64,
    /// Blobs of their inputs. Nothing refers to them any more.
    pub freed: Vec<Digest>,
}

/// Runs that were given up, newest first, and the inputs that replays begin with.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// A page of dead letters.
    async fn dead_letters(&self, query: &DeadLetterQuery) -> PortResult<Vec<DeadLetter>>;

    /// One dead letter.
    async fn dead_letter(&self, project: ProjectId, run: RunId) -> PortResult<Option<DeadLetter>>;

    /// Forgets dead letters with their inputs. Their runs stay in the history.
    async fn purge(&self, project: ProjectId, runs: Vec<RunId>) -> PortResult<Removed>;

    /// What a run was enqueued with, while it is kept.
    async fn input(&self, project: ProjectId, run: RunId) -> PortResult<Option<Bytes>>;

    /// Inputs that are kept, of all projects, by project and run, after this one. A run that is enqueued for another one has
    /// a later id, so that an input that moves while the pages are read is in one of them.
    async fn inputs(&self, after: Option<(ProjectId, RunId)>, limit: u32)
    -> PortResult<Vec<(ProjectId, RunId, Bytes)>>;

    /// Forgets a project's dead letters that died before `before`, and inputs of runs that ended and are older than that;
    /// At most `limit` rows of each.
    async fn expire_dead(&self, project: ProjectId, before: Timestamp, limit: u32) -> PortResult<Removed>;
}
