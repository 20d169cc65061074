//! The control plane's routes. A route cannot be added without saying who may use it, and what is said is both
//! enforced and published in the OpenAPI document.

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use faas_engine::Engine;
use faas_types::{Code, Scope};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::auth::{Authorized, authenticate, identify};
use crate::problem::Failure;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Every key.
    AnyKey,
    /// Keys that hold the scope.
    Key(Scope),
}

/// Collects routes with their access.
pub struct RouteTable<S> {
    engine: Engine,
    router: OpenApiRouter<S>,
}

// === impl RouteTable ===

impl<S: Clone + Send + Sync + 'static> RouteTable<S> {
    /// An empty table that checks keys against `engine`.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { engine, router: OpenApiRouter::new() }
    }

    /// Adds what `routes!` made of one handler.
    #[must_use]
    pub fn add(self, access: Access, (schemas, mut paths, methods): UtoipaMethodRouter<S>) -> Self {
        for item in paths.paths.values_mut() {
            operations(item).into_iter().flatten().for_each(|operation| publish(operation, access));
        }
        let methods = match access {
            Access::Public => methods,
            Access::AnyKey => methods.layer(from_fn_with_state((self.engine.clone(), None), check)),
            Access::Key(scope) => methods.layer(from_fn_with_state((self.engine.clone(), Some(scope)), check)),
        };
        Self { engine: self.engine, router: self.router.routes((schemas, paths, methods)) }
    }

    /// The routes with their OpenAPI document.
    #[must_use]
    pub fn finish(self) -> OpenApiRouter<S> {
        self.router
    }
}

/// Lets keys in that hold the scope, or all where none is wanted.
async fn check(State((engine, scope)): State<(Engine, Option<Scope>)>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    match scope.map_or_else(|| identify(&engine, headers), |scope| authenticate(&engine, headers, scope)) {
        Ok(caller) => {
            request.extensions_mut().insert(Authorized(caller));
            next.run(request).await
        }
        Err(fault) => Failure(fault).into_response(),
    }
}

fn operations(item: &mut PathItem) -> [Option<&mut Operation>; 7] {
    let PathItem { get, put, post, delete, options, head, patch, .. } = item;
    [get, put, post, delete, options, head, patch].map(Option::as_mut)
}

/// Adds to an operation what every route of its access answers.
fn publish(operation: &mut Operation, access: Access) {
    let mut codes = vec![Code::BadRequest, Code::Internal, Code::Unavailable];
    let note = match access {
        Access::Public => None,
        Access::AnyKey => Some("Takes every key.".to_owned()),
        Access::Key(scope) => Some(format!("Needs the scope `{scope}`.")),
    };
    if let Some(note) = note {
        let schemes = ["bearer", "api_key"];
        let requirement = |name: &str| SecurityRequirement::new::<_, _, String>(name, []);
        operation.security = Some(schemes.map(requirement).into());
        operation.description =
            Some(operation.description.take().map_or_else(|| note.clone(), |text| format!("{text}\n\n{note}")));
        codes.push(Code::Unauthenticated);
        codes.extend(matches!(access, Access::Key(_)).then_some(Code::PermissionDenied));
    }
    if operation.request_body.is_some() {
        codes.extend([Code::PayloadTooLarge, Code::UnsupportedMediaType, Code::InvalidConfiguration]);
    }
    for code in codes {
        operation.responses.responses.entry(code.http_status().to_string()).or_insert_with(|| problem_response(code));
    }
}

fn problem_response(code: Code) -> RefOr<utoipa::openapi::Response> {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    let response = ResponseBuilder::new().description(code.title()).content("application/problem+json", content);
    RefOr::T(response.build())
}
