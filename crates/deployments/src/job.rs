//! A deployment, or a group of them, while it is under way: how far it is, who follows it, and the right to commit it.

use std::sync::Arc;

use faas_ports::Clock;
use faas_runs::lifecycle::Lifecycle;
use faas_types::{
    DeploymentGroupId, DeploymentId, DeploymentState, Fault, FunctionName, Mover, ProjectId, Reason, Timestamp,
};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::deployed::Deployed;
use crate::event_log::{EventLog, ProgressEvent};

/// How a job ended: what it deployed, nothing for a dry run.
pub(crate) type Outcome = Result<Vec<Deployed>, Fault>;

/// Deployments that end in one commit.
pub(crate) struct Job {
    pub(crate) project: ProjectId,
    pub(crate) group: Option<DeploymentGroupId>,
    pub(crate) members: Vec<Member>,
    pub(crate) dry_run: bool,
    pub(crate) request_id: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) log: Arc<EventLog>,
    clock: Arc<dyn Clock>,
    cancelled: CancellationToken,
    gate: Mutex<Gate>,
    states: Mutex<Vec<DeploymentState>>,
    /// Whether its records are stored.
    stored: watch::Sender<Option<Result<(), Fault>>>,
    outcome: watch::Sender<Option<Arc<Outcome>>>,
}

/// One deployment of a job.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: DeploymentId,
    pub(crate) function: FunctionName,
}

/// What is asked for besides the versions themselves.
#[derive(Clone, Debug, Default)]
pub struct AcceptOptions {
    /// Do all but the move.
    pub dry_run: bool,
    /// The request that asks for it.
    pub request_id: Option<String>,
}

/// Whether the job may still be cancelled.
#[derive(Debug)]
enum Gate {
    Open,
    Cancelled(Mover),
    /// The commit is on its way: it cannot be called back.
    Committing,
}

// === impl Job ===

impl Job {
    pub(crate) fn new(
        project: ProjectId,
        (group, members): (Option<DeploymentGroupId>, Vec<Member>),
        AcceptOptions { dry_run, request_id }: AcceptOptions,
        clock: Arc<dyn Clock>,
        created_at: Timestamp,
    ) -> Arc<Self> {
        Arc::new(Self {
            project,
            group,
            dry_run,
            request_id,
            created_at,
            log: EventLog::new(),
            clock,
            cancelled: CancellationToken::new(),
            gate: Mutex::new(Gate::Open),
            states: Mutex::new(vec![DeploymentState::Queued; members.len()]),
            members,
            stored: watch::Sender::new(None),
            outcome: watch::Sender::new(None),
        })
    }

    /// Notes how far the deployment of a function is.
    pub(crate) fn reach(&self, function: &FunctionName, state: DeploymentState) {
        let Some(at) = self.members.iter().position(|member| member.function == *function) else { return };
        self.states.lock()[at] = state;
        self.log.push(self.clock.now(), function, ProgressEvent::State(state));
    }

    pub(crate) fn member(&self, function: &FunctionName) -> Option<&Member> {
        self.members.iter().find(|member| member.function == *function)
    }

    /// How far a deployment of the job is.
    pub(crate) fn state(&self, id: DeploymentId) -> Option<DeploymentState> {
        let at = self.members.iter().position(|member| member.id == id)?;
        Some(self.states.lock()[at])
    }

    /// How far the whole job is: as far as the member that is under way.
    pub(crate) fn whole_state(&self) -> DeploymentState {
        let states = self.states.lock();
        let begun = states.iter().rev().find(|state| **state != DeploymentState::Queued);
        begun.copied().unwrap_or(DeploymentState::Queued)
    }

    /// Runs a step that can be given up at any await.
    pub(crate) async fn interruptible<T>(
        &self,
        lifecycle: &Lifecycle,
        step: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => Err(self.given_up()),
            () = lifecycle.stopped() => Err(interrupted()),
            done = step => done,
        }
    }

    /// Refuses to go on with what was cancelled.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        if self.cancelled.is_cancelled() { Err(self.given_up()) } else { Ok(()) }
    }

    /// Notes that the records of the job are stored. Gives the job up when they could not be.
    pub(crate) fn note_stored(&self, stored: Result<(), Fault>) {
        if stored.is_err() {
            self.cancelled.cancel();
        }
        self.stored.send_replace(Some(stored));
    }

    /// Waits until the records of the job are stored.
    pub(crate) async fn stored(&self) -> Result<(), Fault> {
        let mut stored = self.stored.subscribe();
        match stored.wait_for(Option::is_some).await {
            Ok(found) => found.clone().unwrap_or_else(|| Err(interrupted())),
            Err(_) => Err(interrupted()),
        }
    }

    /// From here on the job cannot be cancelled any more.
    pub(crate) fn begin_commit(&self) -> Result<(), Fault> {
        let mut gate = self.gate.lock();
        if let Gate::Cancelled(by) = &*gate {
            return Err(cancelled_by(by));
        }
        *gate = Gate::Committing;
        Ok(())
    }

    /// Cancels the job.
    ///
    /// # Errors
    /// `FN_014` once its commit is on its way.
    pub(crate) fn cancel(&self, by: Mover) -> Result<(), Fault> {
        let mut gate = self.gate.lock();
        match &*gate {
            Gate::Committing => Err(Fault::new(
                Reason::DeploymentEnded,
                "the deployment is being committed, and cannot be cancelled any more",
            )),
            Gate::Cancelled(_) => Ok(()),
            Gate::Open => {
                *gate = Gate::Cancelled(by);
                self.cancelled.cancel();
                Ok(())
            }
        }
    }

    /// There is nothing left to cancel.
    pub(crate) fn close_gate(&self) {
        let mut gate = self.gate.lock();
        if matches!(*gate, Gate::Open) {
            *gate = Gate::Committing;
        }
    }

    /// Makes the outcome known. To be called once it is stored.
    pub(crate) fn end(&self, outcome: Outcome) {
        self.outcome.send_replace(Some(Arc::new(outcome)));
        self.log.close();
    }

    /// Waits for the outcome.
    pub(crate) async fn outcome(&self) -> Arc<Outcome> {
        let mut outcome = self.outcome.subscribe();
        match outcome.wait_for(Option::is_some).await {
            Ok(found) => found.clone().unwrap_or_else(lost),
            Err(_) => lost(),
        }
    }

    fn given_up(&self) -> Fault {
        match &*self.gate.lock() {
            Gate::Cancelled(by) => cancelled_by(by),
            Gate::Open | Gate::Committing => interrupted(),
        }
    }
}

fn lost() -> Arc<Outcome> {
    Arc::new(Err(interrupted()))
}

fn cancelled_by(by: &Mover) -> Fault {
    Fault::new(
        Reason::DeploymentCancelled,
        format!("the deployment was cancelled by {}; nothing was changed", by.name()),
    )
}

/// Why a deployment failed under which the server stopped.
pub(crate) fn interrupted() -> Fault {
    Fault::new(
        Reason::DeploymentInterrupted,
        "the server stopped while the deployment was under way; nothing was changed",
    )
    .with_retry_after(1)
}

#[cfg(test)]
mod tests {
    use faas_ports::SystemClock;

    use super::*;

    fn job() -> Arc<Job> {
        let member = Member { id: DeploymentId::from_u128(1), function: "a".parse().expect("a name") };
        let clock = Arc::new(SystemClock);
        let now = clock.now();
        Job::new(ProjectId::from_u128(1), (None, vec![member]), AcceptOptions::default(), clock, now)
    }

    #[tokio::test]
    async fn either_the_commit_comes_first_or_the_cancellation() {
        let (lifecycle, late) = (Lifecycle::default(), job());
        late.begin_commit().expect("open");
        assert_eq!(late.cancel(Mover::Platform).expect_err("too late").reason, Reason::DeploymentEnded);
        let early = job();
        early.cancel(Mover::Platform).expect("in time");
        early.cancel(Mover::Canary).expect("again is the same");
        let refused = early.begin_commit().expect_err("cancelled");
        assert_eq!(refused.reason, Reason::DeploymentCancelled);
        assert!(refused.message.contains("by platform"), "{refused}");
        assert!(early.check().is_err());
        let step = early.interruptible(&lifecycle, async { Ok(()) }).await;
        assert_eq!(step.expect_err("not begun").reason, Reason::DeploymentCancelled);
        lifecycle.stop();
        let step: Result<(), _> = job().interruptible(&lifecycle, std::future::pending()).await;
        assert_eq!(step.expect_err("stopped").reason, Reason::DeploymentInterrupted);
    }
}
