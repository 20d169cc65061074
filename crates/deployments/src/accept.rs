//! Accepting deployments: what is refused at once is no deployment; what is accepted is stored, and is carried out whatever
//! becomes of the caller.

use std::sync::Arc;

use faas_catalog::encode;
use faas_ports::{Expect, Write};
use faas_runs::completion::check_destinations;
use faas_runs::lifecycle::stopping;
use faas_types::{
    Code, Deployment, DeploymentGroup, DeploymentGroupId, DeploymentId, DeploymentKind, DeploymentState, Fault,
    FunctionName, GroupMember, InvocationMode, Mover, ProjectId, Reason, limits,
};
use tokio::sync::OwnedMutexGuard;

use crate::deployed::Deployed;
use crate::deployment_group::DeployedGroup;
use crate::deployments::Deployments;
use crate::job::{AcceptOptions, Job, Member};
use crate::naming::naming;
use crate::new_deployment::NewDeployment;
use crate::note::check_note;
use crate::progress::ProgressSender;
use crate::records::{group_key, new_writes, under_way_key};
use crate::uploads::lease_on;

/// A deployment that was accepted and goes on by itself.
pub struct AcceptedDeployment {
    /// Its id.
    pub id: DeploymentId,
    job: Arc<Job>,
}

/// A group that was accepted and goes on by itself.
pub struct AcceptedGroup {
    /// Its id.
    pub id: DeploymentGroupId,
    job: Arc<Job>,
}

// === impl AcceptedDeployment ===

impl AcceptedDeployment {
    /// Waits for its end. A dry run leaves nothing.
    ///
    /// # Errors
    /// Why it failed or was cancelled; nothing has changed then.
    pub async fn ended(&self) -> Result<Option<Deployed>, Fault> {
        match &*self.job.outcome().await {
            Ok(deployed) => Ok(deployed.first().cloned()),
            Err(fault) => Err(fault.clone()),
        }
    }
}

// === impl AcceptedGroup ===

impl AcceptedGroup {
    /// Waits for its end. A dry run leaves nothing.
    ///
    /// # Errors
    /// Why it failed or was cancelled; nothing has changed then.
    pub async fn ended(&self) -> Result<Vec<Deployed>, Fault> {
        (*self.job.outcome().await).clone()
    }
}

// === impl Deployments ===

impl Deployments {
    /// Seals a version, loads it in a sandbox and moves its alias to it, or begins its canary where its settings ask for one.
    ///
    /// # Errors
    /// As for [`accept`](Self::accept); `FN_005` with the function's error when the version does not load; `FN_028` for a secret
    /// among its files. Nothing has changed then.
    pub async fn deploy(self: &Arc<Self>, project: ProjectId, new: NewDeployment) -> Result<Deployed, Fault> {
        let deployed = self.accept(project, new, AcceptOptions::default()).await?.ended().await?;
        deployed.ok_or_else(|| Fault::internal("a deployment left nothing"))
    }

    /// Deploys several functions: each is sealed and loaded before one commit moves all of them.
    ///
    /// # Errors
    /// As for [`deploy`](Self::deploy), naming the function. Nothing has changed then.
    pub async fn deploy_group(
        self: &Arc<Self>,
        project: ProjectId,
        news: Vec<NewDeployment>,
    ) -> Result<DeployedGroup, Fault> {
        let accepted = self.accept_group(project, news, AcceptOptions::default()).await?;
        Ok(DeployedGroup { id: accepted.id, deployed: accepted.ended().await?, unmoved: Vec::new() })
    }

    /// Accepts a deployment. It is stored when this returns, and its files are protected from collection.
    ///
    /// # Errors
    /// `FN_005` for files that were not uploaded; `FN_006` for a destination or a network that is not there; `FN_014` while
    /// another deployment of the same function is under way; `FN_015` when too many wait.
    pub async fn accept(
        self: &Arc<Self>,
        project: ProjectId,
        new: NewDeployment,
        options: AcceptOptions,
    ) -> Result<AcceptedDeployment, Fault> {
        let job = self.take_on(project, vec![new], None, options).await?;
        let id = job.members.first().map(|member| member.id);
        Ok(AcceptedDeployment { id: id.ok_or_else(|| Fault::internal("a deployment has no function"))?, job })
    }

    /// Accepts a group of deployments, as [`accept`](Self::accept) does one.
    ///
    /// # Errors
    /// As for one, naming the function; `FN_006` for none, too many, or one twice.
    pub async fn accept_group(
        self: &Arc<Self>,
        project: ProjectId,
        mut news: Vec<NewDeployment>,
        options: AcceptOptions,
    ) -> Result<AcceptedGroup, Fault> {
        let invalid = |message: String| Fault::new(Code::InvalidConfiguration, message);
        let most = limits::GROUP_FUNCTIONS_MAX;
        if !(1..=most).contains(&news.len()) {
            return Err(invalid(format!("functions: 1 to {most} are deployed as a group, not {}", news.len())));
        }
        news.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(twice) = news.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(invalid(format!("functions: `{}` is among them twice", twice[0].name)));
        }
        let id = self.deps.ids.mint(self.deps.clock.now());
        let job = self.take_on(project, news, Some(id), options).await?;
        Ok(AcceptedGroup { id, job })
    }

    async fn take_on(
        self: &Arc<Self>,
        project: ProjectId,
        mut news: Vec<NewDeployment>,
        group: Option<DeploymentGroupId>,
        options: AcceptOptions,
    ) -> Result<Arc<Job>, Fault> {
        if self.deps.lifecycle.is_stopping() {
            return Err(stopping());
        }
        let place = self.jobs.place()?;
        let locks = self.lock_functions(project, news.iter().map(|new| &new.name))?;
        for new in &news {
            self.deps.leases.open(&lease_on(project, &new.bundle), self.deps.clock.now());
        }
        let peers: Vec<_> = news.iter().map(|new| (new.name.clone(), new.settings.background.mode)).collect();
        for new in &news {
            let checked = self.check_request(project, new, &peers).await;
            if group.is_some() { checked.map_err(|fault| naming(&new.name, fault))? } else { checked? }
        }
        let now = self.deps.clock.now();
        // Ids of a function's deployments and moves rise.
        let moment = |name: &FunctionName| {
            self.deps.catalog.by_name(project, name).map_or(now, |known| known.record.moment(now))
        };
        let member =
            |new: &NewDeployment| Member { id: self.deps.ids.mint(moment(&new.name)), function: new.name.clone() };
        let members: Vec<Member> = news.iter().map(member).collect();
        let job = Job::new(project, (group, members), options, Arc::clone(&self.deps.clock), now);
        let writes = self.accepted_writes(&job, &news)?;
        for new in &mut news {
            new.progress = ProgressSender::new(new.name.clone(), Arc::clone(&job.log), Arc::clone(&self.deps.clock));
            job.reach(&new.name, DeploymentState::Queued);
        }
        self.jobs.add(&job);
        // In a separate task from here on: the caller may go away before the record is stored.
        let (deployments, carried) = (Arc::clone(self), Arc::clone(&job));
        self.deps.lifecycle.spawn(async move {
            deployments.carry_out(carried, news, writes).await;
            drop((place, locks));
        });
        job.stored().await?;
        Ok(job)
    }

    /// What can be told of a request before any of its files is read.
    async fn check_request(
        &self,
        project: ProjectId,
        new: &NewDeployment,
        peers: &[(FunctionName, InvocationMode)],
    ) -> Result<(), Fault> {
        new.bundle.validate()?;
        check_note(new.note.as_deref())?;
        if let Some(known) = self.deps.catalog.by_name(project, &new.name) {
            new.target.check(&known.record)?;
        }
        self.deps.network.check_granted(project, &new.settings.egress.networks, "egress.networks")?;
        check_destinations(&self.deps.runs, project, (new.target.alias(), peers), &new.settings.background).await?;
        self.deps.rules.check_listing(project, &new.bundle).await?;
        self.deps.bundles.check_uploaded(&new.bundle).await
    }

    fn accepted_writes(&self, job: &Job, news: &[NewDeployment]) -> Result<Vec<Write>, Fault> {
        let put = |key, value| Write::Put { key, value, expect: Expect::Absent };
        let mut writes = Vec::new();
        let by = |new: &NewDeployment| Some(new.author.clone().map_or(Mover::Platform, Mover::Key));
        for (new, member) in news.iter().zip(&job.members) {
            let known = self.deps.catalog.by_name(job.project, &new.name);
            let alias = new.target.alias().clone();
            let deployment = Deployment {
                function_id: known.as_ref().map(|entry| entry.record.id),
                state: DeploymentState::Queued,
                dry_run: job.dry_run,
                by: by(new),
                note: new.note.clone(),
                group: job.group,
                request_id: job.request_id.clone(),
                finished_at: None,
                ..Deployment::of(member.id, new.name.clone(), alias, job.created_at)
            };
            writes.extend(new_writes(job.project, &deployment)?);
            writes.push(put(under_way_key(job.project, member.id), encode(&new.name)?));
        }
        if let Some(id) = job.group {
            let first = news.first();
            let member = |member: &Member| GroupMember {
                deployment: member.id,
                name: member.function.clone(),
                function: None,
                from: None,
                to: None,
            };
            let group = DeploymentGroup {
                id,
                kind: DeploymentKind::Deploy,
                state: DeploymentState::Queued,
                dry_run: job.dry_run,
                members: job.members.iter().map(member).collect(),
                unmoved: Vec::new(),
                by: first.and_then(by),
                note: first.and_then(|new| new.note.clone()),
                problem: None,
                request_id: job.request_id.clone(),
                created_at: job.created_at,
                finished_at: None,
            };
            writes.push(put(group_key(job.project, id), encode(&group)?));
        }
        Ok(writes)
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
