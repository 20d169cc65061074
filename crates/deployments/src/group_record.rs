//! The record of a group that moved.

use faas_types::{Deployment, DeploymentGroup, DeploymentGroupId, DeploymentKind, DeploymentState, GroupMember};

/// The record of a group with these moves.
pub(crate) fn moved_group<'d>(
    id: DeploymentGroupId,
    moves: impl Iterator<Item = &'d Deployment> + Clone,
) -> DeploymentGroup {
    let one = |deployment: &Deployment| GroupMember {
        deployment: deployment.id,
        name: deployment.function.clone(),
        function: deployment.function_id,
        from: deployment.from,
        to: deployment.to,
    };
    let first = moves.clone().next();
    let at = first.map_or_else(|| id.created_at(), |deployment| deployment.created_at);
    DeploymentGroup {
        id,
        kind: first.map_or(DeploymentKind::Deploy, |deployment| match deployment.kind {
            DeploymentKind::Rollback => DeploymentKind::Rollback,
            _ => DeploymentKind::Deploy,
        }),
        state: DeploymentState::Succeeded,
        dry_run: false,
        members: moves.map(one).collect(),
        unmoved: Vec::new(),
        by: first.and_then(|deployment| deployment.by.clone()),
        note: first.and_then(|deployment| deployment.note.clone()),
        problem: None,
        request_id: None,
        created_at: at,
        finished_at: first.and_then(|deployment| deployment.finished_at),
    }
}
