//! The control plane's router.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use faas_config::manifest_schema;
use faas_types::{Code, Fault, Reason};
use faas_web::{HandlerError, ServerUrl, TablePurpose, render_problems};

use crate::compression::compress;
use crate::routes::table;
use crate::state::ApiState;
use crate::static_page::page;
use crate::{docs_pages, git, openapi};

/// Every route of the control plane.
pub fn router(state: ApiState, server: ServerUrl) -> Router {
    let (router, _) = table(&state, TablePurpose::Serve).split_for_parts();
    let described = state.clone();
    router
        .route("/", page("text/html; charset=utf-8", || include_str!("front_page.html").to_owned()))
        .route("/openapi.json", page("application/json", move || openapi::document(&described)))
        .merge(git::routes())
        .merge(docs_pages::routes())
        .route("/schema/faas.toml.json", page("application/json", || manifest_schema().to_string()))
        .fallback(|| async { HandlerError(Fault::new(Reason::RouteNotFound, "no such route")) })
        .method_not_allowed_fallback(|| async {
            HandlerError(Fault::new(Code::MethodNotAllowed, "this route does not take that method"))
        })
        .layer(from_fn(compress))
        .layer(from_fn_with_state(server, render_problems))
        .with_state(state)
}
