//! `/api/v1/settings/callback-secret`: what callbacks are signed with.

use axum::extract::State;
use faas_engine::SigningSecrets;
use faas_ports::{Clock, SystemClock};
use faas_proto::rest::{CallbackSecretView, NewCallbackSecret, Problem, RotateCallbackSecret};
use faas_types::{Fault, Span};
use faas_web::{Authorized, HandlerError, Json, WithSecret};

use crate::state::ApiState;

/// Tells of the secret that callbacks are signed with, without showing it.
#[utoipa::path(get, path = "/api/v1/settings/callback-secret", operation_id = "callbackSecret.get", tag = "callbacks", responses((status = 200, body = CallbackSecretView)))]
pub(crate) async fn get_callback_secret(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
) -> Result<Json<CallbackSecretView>, HandlerError> {
    let secrets = state.engine.runs.signing_secrets(caller.project).await?;
    Ok(Json(CallbackSecretView { number: secrets.number(), live: live(&secrets) }))
}

/// Makes a fresh secret to sign callbacks with and shows it, once. The one before stays good for a while: callbacks carry
/// both signatures meanwhile, so that receivers can change.
#[utoipa::path(post, path = "/api/v1/settings/callback-secret/rotate", operation_id = "callbackSecret.rotate", tag = "callbacks", request_body = RotateCallbackSecret, responses(
    (status = 200, body = NewCallbackSecret),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
    (status = 507, description = "the disk is full", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn rotate_callback_secret(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    Json(body): Json<RotateCallbackSecret>,
) -> Result<WithSecret<Json<NewCallbackSecret>>, HandlerError> {
    let read = |text: &str| text.parse::<Span>().map_err(|error| Fault::of_field(format!("keep: {error}")));
    let keep = body.keep.as_deref().map(read).transpose()?.map(Span::get);
    let (secret, secrets) = state.engine.runs.rotate_signing_secret(caller.project, keep).await?;
    let view = NewCallbackSecret { secret: Some(secret), number: secrets.number(), live: live(&secrets) };
    Ok(WithSecret("secret", Json(view)))
}

fn live(secrets: &SigningSecrets) -> u32 {
    u32::try_from(secrets.live(SystemClock.now())).unwrap_or(u32::MAX)
}
