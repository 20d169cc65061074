//! Cancelling deployments that are under way.

use std::time::Duration;

use faas_types::{
    Deployment, DeploymentGroup, DeploymentGroupId, DeploymentId, DeploymentState, Fault, Mover, ProjectId, Reason,
};

use crate::deployments::Deployments;

/// How long a cancellation waits for the end of the step that is under way. Most end at once.
const PATIENCE: Duration = Duration::from_secs(10);

// === impl Deployments ===

impl Deployments {
    /// Cancels a deployment that has not been committed; nothing has changed then. Returns it as it is afterwards.
    ///
    /// # Errors
    /// `FN_013` when the project has none of that id; `FN_014` when it has ended, is being committed, or is part of a group.
    pub async fn cancel(&self, project: ProjectId, id: DeploymentId, by: Mover) -> Result<Deployment, Fault> {
        let found = self.find(project, id).await?;
        let Some(job) = self.jobs.get(id) else { return Err(has_ended(found.state)) };
        if let Some(group) = found.group {
            let message = format!("the deployment is part of the group {group}, which ends as a whole");
            return Err(Fault::new(Reason::Conflict, message)
                .with_hint(format!("POST /api/v1/deployment-groups/{group}/cancel")));
        }
        job.cancel(by)?;
        let _ = tokio::time::timeout(PATIENCE, job.outcome()).await;
        self.find(project, id).await
    }

    /// Cancels a group, as [`cancel`](Self::cancel) does one deployment.
    ///
    /// # Errors
    /// As for one.
    pub async fn cancel_group(
        &self,
        project: ProjectId,
        id: DeploymentGroupId,
        by: Mover,
    ) -> Result<DeploymentGroup, Fault> {
        let found = self.find_group(project, id).await?;
        let Some(job) = self.jobs.group(id) else { return Err(has_ended(found.state)) };
        job.cancel(by)?;
        let _ = tokio::time::timeout(PATIENCE, job.outcome()).await;
        self.find_group(project, id).await
    }
}

fn has_ended(state: DeploymentState) -> Fault {
    let fault = Fault::new(Reason::DeploymentEnded, format!("the deployment has ended already: {}", state.as_str()));
    match state {
        DeploymentState::Succeeded => fault.with_hint("roll back, to serve the version before"),
        _ => fault,
    }
}
