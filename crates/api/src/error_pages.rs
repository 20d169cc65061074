//! `/errors/{code}`: the pages of the error catalogue, which problems point to.

use axum::response::IntoResponse;
use faas_proto::rest::Problem;
use faas_types::{Code, Fault};
use faas_web::{HandlerError, PathParams};
use http::header::CONTENT_TYPE;

/// Shows the page of an error code, as Markdown.
#[utoipa::path(get, path = "/errors/{code}", operation_id = "errors.get", tag = "server", params(("code" = String, Path, description = "such as `FN_003`")), responses(
    (status = 200, body = String, content_type = "text/markdown"),
    (status = 404, description = "no such code", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn page(PathParams(code): PathParams<String>) -> Result<impl IntoResponse, HandlerError> {
    let unknown = |error: String| HandlerError(Fault::new(Code::NotFound, error));
    let code: Code = code.parse().map_err(unknown)?;
    Ok(([(CONTENT_TYPE, "text/markdown; charset=utf-8")], faas_config::error_page(code)))
}
