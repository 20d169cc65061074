//! Running something again: replays of ended runs, redrives of dead letters.

use std::sync::Arc;

use bytes::Bytes;
use faas_ports::{DeadLetter, DeadLetterQuery};
use faas_types::{AliasName, Batch, Fault, ProjectId, Reason, RunId, RunRecord, RunState, TriggerKind, limits};
use futures_util::{StreamExt, stream};

use crate::accept::{Accepted, RunOptions};
use crate::batch;
use crate::input::RunInput;
use crate::request::CallRequest;
use crate::route::Selector;
use crate::runs::Runs;

/// Redrives that are accepted at once.
const AT_ONCE: usize = 64;

/// How to run something again.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Another body instead of the first one.
    pub body: Option<Bytes>,
    /// On the version that `live` points to, instead of the run's own.
    pub current: bool,
}

/// Which dead letters are meant.
#[derive(Clone, Debug)]
pub enum DeadSelection {
    /// This one.
    One(RunId),
    /// All that a query finds, up to its limit.
    Found(DeadLetterQuery),
}

/// A dead letter that was tried again.
#[derive(Debug)]
pub struct Redriven {
    /// The run that had been given up.
    pub dead: RunId,
    /// The run that tries it again.
    pub outcome: Result<Accepted, Fault>,
}

// === impl Runs ===

impl Runs {
    /// Runs an ended run again, as a new run that is linked to it.
    ///
    /// # Errors
    /// `FN_014` when the run has not ended, `FN_013` when its input is not kept or its version is gone.
    pub async fn replay(self: &Arc<Self>, project: ProjectId, id: RunId, replay: Replay) -> Result<Accepted, Fault> {
        self.again(project, id, replay, None).await
    }

    async fn again(
        self: &Arc<Self>,
        project: ProjectId,
        id: RunId,
        replay: Replay,
        redrives: Option<RunId>,
    ) -> Result<Accepted, Fault> {
        let run = self.history_reader.run(project, id).await?;
        if !run.state().is_terminal() {
            return Err(Fault::new(Reason::RunNotEnded, format!("the run is {}", run.state().as_str()))
                .with_hint("wait for its end, or cancel it first"));
        }
        let (mut input, mut carried) = self.what_is_left(&run).await?;
        if let Some(body) = replay.body {
            carried = None;
            input.payload.forget_length();
            input.body = body;
        }
        let selector =
            if replay.current { Selector::Alias(AliasName::live()) } else { Selector::Version(run.function().version) };
        let mut route = self.route(project, &run.function().id.to_string(), &selector).await?;
        if !replay.current {
            route.stage = run.stage;
        }
        let RunInput { mut payload, body, max_age } = input;
        // Headers of the platform count only where the platform has set them, and not a caller.
        if matches!(run.trigger, TriggerKind::Http | TriggerKind::Api) {
            payload = payload.without_claims();
        }
        let request = CallRequest { trigger: TriggerKind::Replay, trigger_name: None, payload, body };
        self.accept(
            route,
            request,
            RunOptions { max_age, origin: Some(id), redrives, batch: carried, ..RunOptions::default() },
        )
        .await
    }

    /// What a run was called with.
    ///
    /// # Errors
    /// `FN_013` when it is not kept.
    pub async fn input(&self, project: ProjectId, id: RunId) -> Result<RunInput, Fault> {
        let kept = self.dispatch.letters.input(project, id).await?.ok_or_else(|| {
            Fault::new(Reason::RunInputNotKept, "the input of this run is not kept").with_hint(
                "inputs of runs that were accepted for later are kept for 14 days or as long as runs are, the oldest for \
                 less where they take more than `background.input_bytes`; those of calls whose caller waited are not kept",
            )
        })?;
        Ok(RunInput::load(kept, &*self.blobs).await?)
    }

    /// Whether what a run was called with is kept.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn keeps_input(&self, project: ProjectId, id: RunId) -> Result<bool, Fault> {
        Ok(self.dispatch.letters.input(project, id).await?.is_some())
    }

    /// What a run would be tried again with: of messages those that are not done, or all where all of them are.
    async fn what_is_left(&self, run: &RunRecord) -> Result<(RunInput, Option<Batch>), Fault> {
        let mut input = self.input(run.project, run.id).await?;
        let Some(batch) = &run.batch else { return Ok((input, None)) };
        let left = batch.left.clone().filter(|_| run.state() != RunState::Succeeded);
        let (body, carried) = batch::remaining(&input.body, &Batch { left, ..batch.clone() })?;
        input.body = body;
        Ok((input, Some(carried)))
    }

    /// What a redrive of a dead letter would begin with.
    ///
    /// # Errors
    /// `FN_013` when it is not kept.
    pub async fn letter_input(&self, letter: &DeadLetter) -> Result<RunInput, Fault> {
        Ok(self.what_is_left(&letter.record).await?.0)
    }

    /// A page of dead letters, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn dead_letters(&self, query: &DeadLetterQuery) -> Result<Vec<DeadLetter>, Fault> {
        Ok(self.dispatch.letters.dead_letters(query).await?)
    }

    /// One dead letter.
    ///
    /// # Errors
    /// `FN_013` when the run has no dead letter.
    pub async fn dead_letter(&self, project: ProjectId, id: RunId) -> Result<DeadLetter, Fault> {
        let found = self.dispatch.letters.dead_letter(project, id).await?;
        found.ok_or_else(|| {
            Fault::new(Reason::DeadLetterNotFound, format!("no dead letter `{id}`"))
                .with_command_hint("list them with `faas dead-letters list`")
        })
    }

    /// Tries dead letters again on the versions that `live` points to; each leaves the dead letters as its run is
    /// accepted.
    ///
    /// # Errors
    /// When the dead letters cannot be read, or one of the runs has no dead letter. A dead letter that is not accepted says so in
    /// its outcome and stays.
    pub async fn redrive(self: &Arc<Self>, project: ProjectId, which: DeadSelection) -> Result<Vec<Redriven>, Fault> {
        let dead = self.selected(project, which).await?;
        let tries = dead.into_iter().map(|dead| async move {
            let replay = Replay { current: true, ..Replay::default() };
            Redriven { dead, outcome: self.again(project, dead, replay, Some(dead)).await }
        });
        Ok(stream::iter(tries).buffered(AT_ONCE).collect().await)
    }

    /// Forgets dead letters with their inputs; returns how many.
    ///
    /// # Errors
    /// When one of the runs has no dead letter, or they cannot be removed.
    pub async fn purge(&self, project: ProjectId, which: DeadSelection) -> Result<u64, Fault> {
        let dead = self.selected(project, which).await?;
        let removed = self.dispatch.letters.purge(project, dead).await?;
        self.delete_blobs(removed.freed);
        Ok(removed.rows)
    }

    async fn selected(&self, project: ProjectId, which: DeadSelection) -> Result<Vec<RunId>, Fault> {
        match which {
            DeadSelection::One(id) => Ok(vec![self.dead_letter(project, id).await?.record.id]),
            DeadSelection::Found(query) => {
                let query = DeadLetterQuery { limit: query.limit.min(limits::REDRIVE_MAX), ..query };
                Ok(self.dead_letters(&query).await?.iter().map(|letter| letter.record.id).collect())
            }
        }
    }
}
