//! `/api/v1/settings/upload-policy`.

use axum::extract::State;
use faas_proto::rest::{PolicyView, Problem, ProjectPolicyView, SetPolicy};
use faas_types::ProjectRules;
use faas_web::{Authorized, HandlerError, Json};
use http::StatusCode;

use crate::state::ApiState;
use crate::views::author_view;

/// Shows what uploads are refused for: the server's rules, and the project's on top of them.
#[utoipa::path(get, path = "/api/v1/settings/upload-policy", operation_id = "uploadPolicy.get", tag = "deployments", responses((status = 200, body = PolicyView)))]
pub(crate) async fn get_policy(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
) -> Result<Json<PolicyView>, HandlerError> {
    let kept = state.engine.upload_rules.of_project(caller.project).await?;
    Ok(Json(view(&state, kept)))
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
    Json(body): Json<SetPolicy>,
) -> Result<Json<PolicyView>, HandlerError> {
    let SetPolicy { rules, revision } = body;
    let kept = state.engine.upload_rules.set(caller.project, rules, caller.author(), revision).await?;
    Ok(Json(view(&state, Some(kept))))
}

/// Leaves the project with the server's rules alone.
#[utoipa::path(delete, path = "/api/v1/settings/upload-policy", operation_id = "uploadPolicy.reset", tag = "deployments", responses((status = 204, description = "the server's rules hold")))]
pub(crate) async fn reset_policy(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
) -> Result<StatusCode, HandlerError> {
    state.engine.upload_rules.reset(caller.project).await?;
    Ok(StatusCode::NO_CONTENT)
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
