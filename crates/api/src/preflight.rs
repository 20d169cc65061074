//! `/api/v1/settings/upload-policy`.

use axum::extract::State;
use faas_proto::rest::{PolicyView, Problem, ProjectPolicyView, SetPolicy};
use faas_types::{Fault, ProjectRules, Reason};
use faas_web::{Authorized, HandlerError, Json, Precondition, StateTag, Tagged};
use http::StatusCode;

use crate::state::ApiState;
use crate::views::author_view;

/// Shows what uploads are refused for: the server's rules, and the project's on top of them.
#[utoipa::path(get, path = "/api/v1/settings/upload-policy", operation_id = "uploadPolicy.get", tag = "deployments", responses((status = 200, body = PolicyView)))]
pub(crate) async fn get_policy(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
) -> Result<Tagged<PolicyView>, HandlerError> {
    let kept = state.engine.upload_rules.of_project(caller.project).await?;
    Ok(tagged(&state, kept))
}

/// Replaces the project's rules. They come on top of the server's and loosen none of them.
#[utoipa::path(put, path = "/api/v1/settings/upload-policy", operation_id = "uploadPolicy.set", tag = "deployments", request_body = SetPolicy, responses(
    (status = 200, body = PolicyView),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "a pattern that cannot be used", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn set_policy(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    precondition: Precondition,
    Json(body): Json<SetPolicy>,
) -> Result<Tagged<PolicyView>, HandlerError> {
    let SetPolicy { rules, mut revision } = body;
    if precondition.is_given() {
        let kept = state.engine.upload_rules.of_project(caller.project).await?;
        let at = kept.map(|(_, revision)| revision);
        precondition.check(Some(StateTag::at(at.unwrap_or_default())))?;
        revision = Some(at.unwrap_or_default());
    }
    let kept = state.engine.upload_rules.set(caller.project, rules, caller.author(), revision).await;
    let kept = kept.map_err(|fault| match fault.reason {
        Reason::ChangedMeanwhile if precondition.is_given() => Fault::new(Reason::PreconditionFailed, fault.message),
        _ => fault,
    })?;
    Ok(tagged(&state, Some(kept)))
}

/// Leaves the project with the server's rules alone.
#[utoipa::path(delete, path = "/api/v1/settings/upload-policy", operation_id = "uploadPolicy.reset", tag = "deployments", responses(
    (status = 204, description = "the server's rules hold"),
    (status = 404, description = "the project has no rules of its own", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn reset_policy(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
) -> Result<StatusCode, HandlerError> {
    state.engine.upload_rules.reset(caller.project).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The rules with their state; that of a project without any is 0.
fn tagged(state: &ApiState, kept: Option<(ProjectRules, u64)>) -> Tagged<PolicyView> {
    let revision = kept.as_ref().map_or(0, |(_, revision)| *revision);
    Tagged(StateTag::at(revision), view(state, kept))
}

fn view(state: &ApiState, kept: Option<(ProjectRules, u64)>) -> PolicyView {
    let project = kept.map(|(kept, revision)| ProjectPolicyView {
        actor: author_view(&kept.author),
        set_at: kept.set_at.to_string(),
        rules: kept.rules,
        revision,
    });
    PolicyView { operator: state.engine.upload_rules.of_operator().clone(), project }
}
