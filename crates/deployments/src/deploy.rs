//! Deploying: a version is sealed and loaded before its alias moves. When anything fails, the previous version serves on.

use std::sync::Arc;
use std::time::Duration;

use faas_catalog::FunctionEntry;
use faas_runs::lifecycle::stopping;
use faas_types::{BuildLog, Deployment, DeploymentId, Fault, FunctionName, ProjectId, Reason, VersionRecord};
use tokio::sync::OwnedMutexGuard;

use crate::dependencies::Dependencies;
use crate::deployments::Deployments;
use crate::new_deployment::NewDeployment;
use crate::pipeline::SealedVersion;
use crate::uploads::PlanSubject;

/// A finished deployment.
pub struct Deployed {
    /// The event.
    pub deployment: Deployment,
    /// The function as it is now.
    pub entry: Arc<FunctionEntry>,
    /// The version that the alias points to now.
    pub version: Arc<VersionRecord>,
    /// How long loading the entrypoint took.
    pub check: Duration,
    /// What the function wrote while it loaded.
    pub build_log: BuildLog,
    /// The packages that were installed for it; `None` when its files ask for none.
    pub dependencies: Option<Dependencies>,
}

// === impl Deployed ===

impl Deployed {
    /// A move of an alias to an existing version.
    pub(crate) fn moved(deployment: Deployment, entry: Arc<FunctionEntry>, version: Arc<VersionRecord>) -> Self {
        let (check, build_log) = (Duration::ZERO, BuildLog::default());
        Self { deployment, entry, version, check, build_log, dependencies: None }
    }
}

// === impl Deployments ===

impl Deployments {
    /// Seals a version, loads it in a sandbox and moves its alias to it, or begins its canary where its settings ask for one.
    ///
    /// # Errors
    /// `FN_005` with the function's error when the version does not load; `FN_006` for a destination or a secret that is not
    /// there; `FN_014` while another deployment of the same function is under way; `FN_028` for a secret among its files. Nothing
    /// has changed then.
    pub async fn deploy(self: &Arc<Self>, project: ProjectId, new: NewDeployment) -> Result<Deployed, Fault> {
        let mut deployed = self.deploy_each(project, vec![new], None).await?;
        deployed.pop().ok_or_else(|| Fault::internal("a deployment left nothing"))
    }

    /// Seals every version, one after the other, then publishes all of them in one commit.
    pub(crate) async fn deploy_each(
        self: &Arc<Self>,
        project: ProjectId,
        news: Vec<NewDeployment>,
        group: Option<DeploymentId>,
    ) -> Result<Vec<Deployed>, Fault> {
        if self.deps.lifecycle.is_stopping() {
            return Err(stopping());
        }
        let _locks = self.lock_functions(project, news.iter().map(|new| &new.name))?;
        let leases: Vec<_> = news.iter().map(|new| PlanSubject::Function(new.name.clone()).lease(project)).collect();
        leases.iter().for_each(|lease| self.deps.leases.open(lease, self.deps.clock.now()));
        let peers: Vec<_> = news.iter().map(|new| (new.name.clone(), new.settings.background.mode)).collect();
        let mut sealed = Vec::with_capacity(news.len());
        for new in news {
            let name = new.name.clone();
            let made = self.seal_version(project, new, &peers).await;
            sealed.push(if group.is_some() { made.map_err(|fault| naming(&name, fault))? } else { made? });
        }
        let published = self.publish(project, &sealed, group).await?;
        leases.iter().for_each(|lease| self.deps.leases.close(lease));
        let mut deployed = Vec::with_capacity(published.len());
        for (made, (deployment, entry, version)) in sealed.into_iter().zip(published) {
            let SealedVersion { check, build_log, dependencies, .. } = made;
            self.deps.refresher.function_changed(&entry).await;
            let (deployments, newest) = (Arc::clone(self), Arc::clone(&entry));
            self.deps.lifecycle.spawn(async move { deployments.collect_versions(&newest).await });
            tracing::info!(function = %entry.record.name, version = version.number, "deployed");
            deployed.push(Deployed { deployment, entry, version, check, build_log, dependencies });
        }
        Ok(deployed)
    }

    /// Locks functions against other deployments. Never waits, so that two deployments of several functions cannot wait for
    /// each other.
    pub(crate) fn lock_functions<'n>(
        &self,
        project: ProjectId,
        names: impl Iterator<Item = &'n FunctionName>,
    ) -> Result<Vec<OwnedMutexGuard<()>>, Fault> {
        let lock =
            |name: &FunctionName| self.deploying.try_lock(&(project, name.clone())).ok_or_else(|| under_way(name));
        names.map(lock).collect()
    }
}

fn under_way(name: &FunctionName) -> Fault {
    Fault::new(Reason::OperationInProgress, format!("another deployment of `{name}` is under way"))
        .with_hint("wait for it, then deploy again")
        .with_retry_after(2)
}

/// Names the function that a fault of a group is about.
fn naming(name: &FunctionName, mut fault: Fault) -> Fault {
    if !fault.message.starts_with(&format!("`{name}`")) {
        fault.message = format!("`{name}`: {}", fault.message);
    }
    fault
}
