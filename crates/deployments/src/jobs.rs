//! The deployments that are under way.

use std::collections::HashMap;
use std::sync::Arc;

use faas_types::{DeploymentGroupId, DeploymentId, Fault, Reason};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::job::Job;

/// Deployments that are carried out at once: each seals files and starts a sandbox.
const AT_ONCE: usize = 8;
/// Deployments that wait for their turn.
const WAITING_MAX: usize = 256;
/// When to try again after the queue was full, in seconds.
const RETRY_S: u32 = 10;

/// Finds jobs by id, and bounds them.
pub(crate) struct Jobs {
    by_id: Mutex<HashMap<DeploymentId, Arc<Job>>>,
    by_group: Mutex<HashMap<DeploymentGroupId, Arc<Job>>>,
    turns: Arc<Semaphore>,
    /// Jobs that are carried out or wait.
    places: Arc<Semaphore>,
}

// === impl Jobs ===

impl Default for Jobs {
    fn default() -> Self {
        Self {
            by_id: Mutex::default(),
            by_group: Mutex::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            places: Arc::new(Semaphore::new(AT_ONCE + WAITING_MAX)),
        }
    }
}

impl Jobs {
    /// The job of a deployment.
    pub(crate) fn get(&self, id: DeploymentId) -> Option<Arc<Job>> {
        self.by_id.lock().get(&id).cloned()
    }

    /// The job of a group.
    pub(crate) fn group(&self, id: DeploymentGroupId) -> Option<Arc<Job>> {
        self.by_group.lock().get(&id).cloned()
    }

    pub(crate) fn add(&self, job: &Arc<Job>) {
        let mut by_id = self.by_id.lock();
        job.members.iter().for_each(|member| drop(by_id.insert(member.id, Arc::clone(job))));
        if let Some(group) = job.group {
            self.by_group.lock().insert(group, Arc::clone(job));
        }
    }

    pub(crate) fn remove(&self, job: &Job) {
        let mut by_id = self.by_id.lock();
        job.members.iter().for_each(|member| drop(by_id.remove(&member.id)));
        if let Some(group) = job.group {
            self.by_group.lock().remove(&group);
        }
    }

    /// A place among the deployments that wait.
    ///
    /// # Errors
    /// `FN_015` when too many wait.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, Fault> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Fault::new(Reason::Overloaded, format!("{WAITING_MAX} deployments wait already"))
                .with_hint("deploy again later")
                .with_retry_after(RETRY_S)
        })
    }

    /// Waits for a turn.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        turn.map_err(|_| Fault::internal("the turns of deployments are closed"))
    }
}
