//! `/errors/{name}`: the pages of the error catalogue, which problems point to.

use axum::response::IntoResponse;
use faas_proto::rest::Problem;
use faas_types::{Code, Fault, Reason};
use faas_web::{HandlerError, PathParams};
use http::header::CONTENT_TYPE;

/// Shows the page of an error code or of a reason, as Markdown; `reasons` lists the reasons.
#[utoipa::path(get, path = "/errors/{error}", operation_id = "errors.get", tag = "server", params(("error" = String, Path, description = "such as `FN_003`, `run_not_found` or `reasons`")), responses(
    (status = 200, body = String, content_type = "text/markdown"),
    (status = 404, description = "no such error", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn page(PathParams(name): PathParams<String>) -> Result<impl IntoResponse, HandlerError> {
    // Pages link to each other as files.
    let name = name.strip_suffix(".md").unwrap_or(&name);
    let page = match (name, name.parse::<Reason>()) {
        ("reasons", _) => faas_config::REASONS_PAGE.to_owned(),
        (_, Ok(reason)) => faas_config::reason_page(reason),
        (code, Err(_)) => {
            let unknown = |error: String| HandlerError(Fault::new(Reason::ErrorPageNotFound, error));
            faas_config::error_page(code.parse::<Code>().map_err(unknown)?).to_owned()
        }
    };
    Ok(([(CONTENT_TYPE, "text/markdown; charset=utf-8")], page))
}
