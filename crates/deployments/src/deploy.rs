//! Carrying deployments out: a version is sealed and loaded before its alias moves. When anything fails, the previous version
//! serves on.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use faas_ports::Write;
use faas_types::{Fault, LogStream};
use futures_util::FutureExt;

use crate::deployed::Deployed;
use crate::deployments::Deployments;
use crate::event_log::ProgressEvent;
use crate::job::{Job, Outcome};
use crate::naming::naming;
use crate::new_deployment::NewDeployment;
use crate::pipeline::SealedVersion;
use crate::uploads::lease_on;

// === impl Deployments ===

impl Deployments {
    /// Stores a job and carries it out, both at the same time, and stores how it ended.
    pub(crate) async fn carry_out(self: Arc<Self>, job: Arc<Job>, news: Vec<NewDeployment>, accepted: Vec<Write>) {
        let leases: Vec<String> = news.iter().map(|new| lease_on(job.project, &new.bundle)).collect();
        let storing =
            async { job.note_stored(self.deps.registry.commit(accepted).await.map(drop).map_err(Fault::from)) };
        let (worked, ()) = tokio::join!(AssertUnwindSafe(self.work(&job, news)).catch_unwind(), storing);
        let outcome = worked.unwrap_or_else(|_| Err(Fault::internal("the deployment broke off")));
        job.close_gate();
        let is_stored = match &outcome {
            Ok(deployed) if !job.dry_run => {
                leases.iter().for_each(|lease| self.deps.leases.close(lease));
                self.follow_up(deployed).await;
                true
            }
            _ if job.stored().await.is_err() => true,
            Ok(_) => self.store_end(&job, None).await,
            Err(fault) => self.store_end(&job, Some(fault)).await,
        };
        job.end(outcome);
        if is_stored {
            self.jobs.remove(&job);
        }
    }

    async fn work(self: &Arc<Self>, job: &Arc<Job>, news: Vec<NewDeployment>) -> Outcome {
        let _turn = job.interruptible(&self.deps.lifecycle, self.jobs.turn()).await?;
        let mut sealed = Vec::with_capacity(news.len());
        for new in news {
            let name = new.name.clone();
            let made = self.seal_version(job, new).await;
            sealed.push(if job.group.is_some() { made.map_err(|fault| naming(&name, fault))? } else { made? });
        }
        for made in &sealed {
            let own = made.build_log.lines.iter().filter(|line| line.stream != LogStream::Platform);
            own.for_each(|line| made.new.progress.send(ProgressEvent::Line(line.stream, line.message.clone())));
        }
        job.log.settle(self.deps.clock.now());
        job.stored().await?;
        job.begin_commit()?;
        if job.dry_run {
            return Ok(Vec::new());
        }
        let published = self.publish(job, &sealed).await?;
        let deployed = sealed.into_iter().zip(published).map(|(made, (deployment, entry, version))| {
            let SealedVersion { check, build_log, dependencies, .. } = made;
            Deployed { deployment, entry, version, check, build_log, dependencies }
        });
        Ok(deployed.collect())
    }

    /// What comes after the commit.
    async fn follow_up(self: &Arc<Self>, deployed: &[Deployed]) {
        for Deployed { entry, version, .. } in deployed {
            self.deps.refresher.function_changed(entry).await;
            let (deployments, newest) = (Arc::clone(self), Arc::clone(entry));
            self.deps.lifecycle.spawn(async move { deployments.collect_versions(&newest).await });
            tracing::info!(function = %entry.record.name, version = version.number, "deployed");
        }
    }

    /// Stores the end of a job that moved nothing; false when it cannot be stored: the next start of the server does then.
    async fn store_end(&self, job: &Job, problem: Option<&Fault>) -> bool {
        job.log.settle(self.deps.clock.now());
        let stored = self.end_unmoved(job, problem).await;
        if let Err(fault) = &stored {
            tracing::error!(%fault, "the end of a deployment cannot be stored");
        }
        for member in &job.members {
            if let Err(fault) = self.drop_unmoved(job.project, &member.function).await {
                tracing::warn!(function = %member.function, %fault, "old failed deployments cannot be dropped yet");
            }
        }
        stored.is_ok()
    }
}
