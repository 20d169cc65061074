//! Deployments as the API shows them.

use faas_engine::ProgressEvent;
use faas_proto::rest::{
    DependenciesView, DeployLine, DeployProgress, DeployStep, DeploymentGroupView, DeploymentView, Problem,
    StreamEvent, UnmovedView,
};
use faas_types::{Deployment, DeploymentGroup, DeploymentKind, Fault, ProjectId, VersionPackages};
use faas_web::{RequestId, problem};
use http::HeaderValue;

use crate::state::ApiState;
use crate::stream;
use crate::views::{has_http, mover_view, network_set_by, split_view};

impl ApiState {
    /// A deployment, with what is known of its version.
    pub(crate) async fn deployment_view(
        &self,
        project: ProjectId,
        deployment: &Deployment,
        id: &RequestId,
    ) -> Result<DeploymentView, Fault> {
        let catalog = self.engine.catalog();
        let entry = deployment.function_id.and_then(|function| catalog.by_id(project, function));
        let version = match (&entry, deployment.to) {
            // A version that was dropped since has left its number.
            (Some(entry), Some(number)) => catalog.version(entry, number).await.ok(),
            _ => None,
        };
        let (name, alias) = (&deployment.function, &deployment.alias);
        let set_by =
            entry.as_deref().zip(version.as_deref()).and_then(|(entry, version)| network_set_by(entry, version));
        Ok(DeploymentView {
            id: deployment.id.to_string(),
            project: project.to_string(),
            function: name.to_string(),
            function_id: deployment.function_id.map(|function| function.to_string()),
            kind: deployment.kind,
            state: deployment.state,
            dry_run: deployment.dry_run,
            alias: alias.to_string(),
            from: deployment.from,
            version: deployed_version(deployment),
            split: deployment.split.map(split_view),
            expires_at: deployment.expires_at.map(|at| at.to_string()),
            url: self.alias_url(name, alias),
            http: version.as_deref().is_some_and(has_http),
            actor: deployment.by.as_ref().map(mover_view),
            note: deployment.note.clone(),
            group: deployment.group.map(|group| group.to_string()),
            runtime: version.as_deref().map(|version| version.runtime_exact.clone()),
            concurrency: version.as_deref().map(|version| version.concurrency),
            check_ms: deployment.check_ms,
            dependencies: deployment.packages.as_ref().map(dependencies_view),
            not_reverted: if goes_back(deployment.kind) { not_reverted() } else { Vec::new() },
            network_set_by: set_by,
            problem: kept_problem(deployment.problem.as_ref(), deployment.request_id.as_deref(), id),
            created_at: deployment.created_at.to_string(),
            finished_at: deployment.finished_at.map(|at| at.to_string()),
        })
    }

    /// A group with the deployments of its members.
    pub(crate) async fn group_view(
        &self,
        project: ProjectId,
        group: &DeploymentGroup,
        id: &RequestId,
    ) -> Result<DeploymentGroupView, Fault> {
        let mut deployments = Vec::with_capacity(group.members.len());
        for member in &group.members {
            // That of a function which was deleted since is gone.
            if let Ok(deployment) = self.engine.deployments.find(project, member.deployment).await {
                deployments.push(self.deployment_view(project, &deployment, id).await?);
            }
        }
        let unmoved = group.unmoved.iter();
        let unmoved = unmoved.map(|(name, why)| UnmovedView { function: name.to_string(), message: why.clone() });
        Ok(DeploymentGroupView {
            id: group.id.to_string(),
            project: project.to_string(),
            kind: group.kind,
            state: group.state,
            dry_run: group.dry_run,
            deployments,
            unmoved: unmoved.collect(),
            actor: group.by.as_ref().map(mover_view),
            note: group.note.clone(),
            problem: kept_problem(group.problem.as_ref(), group.request_id.as_deref(), id),
            created_at: group.created_at.to_string(),
            finished_at: group.finished_at.map(|at| at.to_string()),
        })
    }
}

/// A problem that was kept, under the id of the request that met it.
fn kept_problem(fault: Option<&Fault>, request: Option<&str>, reading: &RequestId) -> Option<Box<Problem>> {
    let own = request.and_then(|text| HeaderValue::from_str(text).ok()).map(RequestId::from);
    let id = own.map_or_else(|| reading.clone(), |own| own.at(reading.server()));
    fault.map(|fault| Box::new(problem(fault, &id, None)))
}

/// An event of a deployment's log in the envelope of streams.
pub(crate) fn event_view(event: faas_engine::DeploymentEvent) -> StreamEvent {
    let function = event.function.to_string();
    let step = |step: DeployStep| ("step", serde_json::to_value(step));
    let (kind, data) = match event.what {
        ProgressEvent::State(state) => ("state", serde_json::to_value(DeployProgress { function, state })),
        ProgressEvent::Line(stream, message) => ("log", serde_json::to_value(DeployLine { function, stream, message })),
        ProgressEvent::Waiting(message) => step(DeployStep::Waiting { function, message }),
        ProgressEvent::Installing(source) => step(DeployStep::Installing { function, source }),
        ProgressEvent::LeftOut(lines) => step(DeployStep::LeftOut { function, lines }),
        ProgressEvent::Reused(layer, built_at) => {
            step(DeployStep::Reused { function, layer, built_at: built_at.to_string() })
        }
        ProgressEvent::Loading => step(DeployStep::Loading { function }),
    };
    StreamEvent { at: event.at.to_string(), ..stream::event(&event.id, kind, &data.unwrap_or_default()) }
}

fn dependencies_view(packages: &VersionPackages) -> DependenciesView {
    DependenciesView {
        layer: packages.layer.map(|layer| layer.to_string()),
        reused: packages.reused,
        packages: packages.count,
        size_bytes: packages.size,
        took_ms: packages.took_ms,
        source: packages.source.clone(),
        note: packages.note.clone(),
    }
}

fn goes_back(kind: DeploymentKind) -> bool {
    matches!(kind, DeploymentKind::Rollback | DeploymentKind::Abort)
}

/// What moving an alias back leaves as it is.
fn not_reverted() -> Vec<String> {
    [
        "vars and secrets that were set outside of the manifest, and a network policy that was",
        "triggers that were added by hand, and whether triggers are switched on",
        "runs that were accepted before: each keeps its version",
        "what the function has written elsewhere: data, topics, other services",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The version that was deployed. A canary's alias still points to the one before.
fn deployed_version(deployment: &Deployment) -> Option<u32> {
    match (deployment.kind, deployment.split) {
        (DeploymentKind::Canary, Some(split)) => Some(split.version),
        _ => deployment.to,
    }
}
