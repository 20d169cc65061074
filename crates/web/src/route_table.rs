//! The control plane's routes. A route cannot be added without saying who may use it, and what is said is both
//! enforced and published in the OpenAPI document.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use faas_engine::Engine;
use faas_types::{Code, Fault, Reason, Scope};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, ObjectBuilder, Ref, RefOr, Required, ResponseBuilder, Schema};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::auth::{Authorized, authenticate, identify};
use crate::deprecation::{Retirement, announce};
use crate::idempotency::{WriteRoute, once};
use crate::key_functions::check_functions;
use crate::preconditions::not_modified;
use crate::problem::HandlerError;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Every key.
    AnyKey,
    /// Keys that hold the scope. One that is restricted to functions reaches what is below a function, a run or a dead letter of
    /// theirs, and no route of the whole project.
    Key(Scope),
    /// Keys that hold the scope, also restricted ones: the handler shows and changes only what is theirs.
    OfFunctions(Scope),
}

/// What a table is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TablePurpose {
    /// To answer requests. What the document says of a route is dropped once its parameters are known: the whole document
    /// takes megabytes and milliseconds at the start of a server.
    Serve,
    /// To write the OpenAPI document.
    Describe,
}

/// Collects routes with their access.
pub struct RouteTable<S> {
    engine: Engine,
    purpose: TablePurpose,
    router: OpenApiRouter<S>,
}

// === impl Access ===

impl Access {
    /// The scope that a key must hold, where one is wanted.
    fn scope(self) -> Option<Scope> {
        match self {
            Self::Public | Self::AnyKey => None,
            Self::Key(scope) | Self::OfFunctions(scope) => Some(scope),
        }
    }
}

// === impl RouteTable ===

impl<S: Clone + Send + Sync + 'static> RouteTable<S> {
    /// An empty table that checks keys against `engine`.
    #[must_use]
    pub fn new(engine: Engine, purpose: TablePurpose) -> Self {
        Self { engine, purpose, router: OpenApiRouter::new() }
    }

    /// Adds what `routes!` made of one handler. Query parameters that its document does not name are refused, but for routes
    /// that anybody may use, which probes and scrapers call. A write with an `Idempotency-Key` is carried out once; a `POST` is
    /// not carried out again when the server died in its middle.
    #[must_use]
    pub fn add(self, access: Access, routes: UtoipaMethodRouter<S>) -> Self {
        let routes = self.carried_out_once(routes, false);
        self.add_checked(access, routes)
    }

    /// The same for a `POST` that may be carried out again when the server died in its middle: it has the same effect, or finds
    /// what it made by its [`WriteId`](faas_engine::WriteId).
    #[must_use]
    pub fn add_repeatable(self, access: Access, routes: UtoipaMethodRouter<S>) -> Self {
        let routes = self.carried_out_once(routes, true);
        self.add_checked(access, routes)
    }

    fn carried_out_once(
        &self,
        (schemas, mut paths, methods): UtoipaMethodRouter<S>,
        is_repeatable: bool,
    ) -> UtoipaMethodRouter<S> {
        let written = paths.paths.values_mut().flat_map(writes).filter(|operation| !takes_bytes(operation));
        if written.map(name_parameter).count() == 0 {
            return (schemas, paths, methods);
        }
        let route = WriteRoute { engine: self.engine.clone(), is_repeatable };
        (schemas, paths, methods.layer(from_fn_with_state(Arc::new(route), once)))
    }

    fn add_checked(self, access: Access, (schemas, mut paths, methods): UtoipaMethodRouter<S>) -> Self {
        let named: Vec<QueryParameter> = paths.paths.values_mut().flat_map(query_parameters).collect();
        let is_read = paths.paths.values().any(|item| item.get.is_some());
        let methods = if is_read { methods.layer(from_fn(not_modified)) } else { methods };
        let methods = match access {
            Access::Public => methods,
            Access::AnyKey | Access::Key(_) | Access::OfFunctions(_) => {
                methods.layer(from_fn_with_state(Arc::new(named), check_query))
            }
        };
        self.add_call(access, (schemas, paths, methods))
    }

    /// The same for a route that calls a function: it passes its query on, and has idempotency keys within the function.
    #[must_use]
    pub fn add_call(self, access: Access, (mut schemas, mut paths, methods): UtoipaMethodRouter<S>) -> Self {
        for item in paths.paths.values_mut() {
            match self.purpose {
                TablePurpose::Serve => *item = PathItem::default(),
                TablePurpose::Describe => {
                    operations(item).into_iter().flatten().for_each(|operation| publish(operation, access));
                }
            }
        }
        if self.purpose == TablePurpose::Serve {
            schemas.clear();
        }
        let methods = match access {
            Access::Public => methods,
            Access::AnyKey | Access::Key(_) | Access::OfFunctions(_) => {
                methods.layer(from_fn_with_state((self.engine.clone(), access), check))
            }
        };
        Self { router: self.router.routes((schemas, paths, methods)), ..self }
    }

    /// The same for a route that goes away: its answers say when, and what takes its place.
    #[must_use]
    pub fn add_retired(
        self,
        retirement: Retirement,
        access: Access,
        (schemas, mut paths, methods): UtoipaMethodRouter<S>,
    ) -> Self {
        let all = paths.paths.values_mut().flat_map(operations).flatten();
        all.for_each(|operation| retirement.publish(operation));
        self.add(access, (schemas, paths, methods.layer(from_fn_with_state(retirement, announce))))
    }

    /// The routes with their OpenAPI document, which is empty in a table that serves.
    #[must_use]
    pub fn finish(self) -> OpenApiRouter<S> {
        self.router
    }
}

/// Lets keys in that hold the scope, or all where none is wanted.
async fn check(State((engine, access)): State<(Engine, Access)>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let caller = match access.scope() {
        Some(scope) => authenticate(&engine, headers, scope),
        None => identify(&engine, headers),
    };
    let caller = match caller {
        // Boxed: few keys are restricted, and a call's future is moved several times.
        Ok(caller) if caller.is_restricted() && matches!(access, Access::Key(_)) => {
            Box::pin(check_functions(&engine, &caller, &mut request)).await.map(|()| caller)
        }
        caller => caller,
    };
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(Authorized(caller));
            next.run(request).await
        }
        Err(fault) => HandlerError(fault).into_response(),
    }
}

/// A query parameter that a route has.
struct QueryParameter {
    name: String,
    takes_several: bool,
}

/// The query parameters that a path's operations document.
fn query_parameters(item: &mut PathItem) -> Vec<QueryParameter> {
    let parameters =
        operations(item).into_iter().flatten().filter_map(|operation| operation.parameters.as_ref()).flatten();
    let query_parameter = |one: &RefOr<Parameter>| match one {
        RefOr::T(one) if one.parameter_in == ParameterIn::Query => Some(QueryParameter {
            name: one.name.clone(),
            takes_several: matches!(one.schema, Some(RefOr::T(Schema::Array(_)))),
        }),
        RefOr::T(_) | RefOr::Ref(_) => None,
    };
    parameters.filter_map(query_parameter).collect()
}

async fn check_query(State(named): State<Arc<Vec<QueryParameter>>>, request: Request, next: Next) -> Response {
    match find_misuse(request.uri().query().unwrap_or_default(), &named) {
        None => next.run(request).await,
        Some(fault) => HandlerError(fault).into_response(),
    }
}

/// A query parameter that the route does not have: a misspelt filter would quietly show everything. Or one that is repeated and
/// takes one value: which of them counts would be a guess.
fn find_misuse(query: &str, named: &[QueryParameter]) -> Option<Fault> {
    let mut seen: Vec<Cow<'_, str>> = Vec::new();
    for (name, _) in form_urlencoded::parse(query.as_bytes()) {
        let Some(known) = named.iter().find(|known| known.name == name) else {
            let shown: String = name.chars().take(80).collect();
            let known: Vec<_> = named.iter().map(|known| known.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let message = format!("unknown query parameter `{shown}`; known are {known}");
            return Some(Fault::new(Reason::UnknownParameter, message));
        };
        if seen.contains(&name) && !known.takes_several {
            let message = format!("the parameter `{name}` is there twice and takes one value");
            return Some(Fault::new(Reason::InvalidParameter, message));
        }
        seen.push(name);
    }
    None
}

/// The operations of a path that change something and are no deletion.
fn writes(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { put, post, patch, .. } = item;
    [put, post, patch].into_iter().filter_map(Option::as_mut)
}

/// Whether the body is a file, which is named by its content: sent again it has no other effect, and is too large to hold.
fn takes_bytes(operation: &Operation) -> bool {
    matches!(&operation.request_body, Some(RefOr::T(body)) if body.content.contains_key("application/octet-stream"))
}

/// Documents what a caller's own name for a write does.
fn name_parameter(operation: &mut Operation) {
    let description = "a repeated request with this key gets the first one's answer, for 24 hours";
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(255)).build();
    let parameter = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(text))
        .build();
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter));
    for code in [Code::Conflict, Code::KeyReused, Code::RateLimited] {
        operation.responses.responses.entry(code.http_status().to_string()).or_insert_with(|| problem_response(code));
    }
}

fn operations(item: &mut PathItem) -> [Option<&mut Operation>; 7] {
    let PathItem { get, put, post, delete, options, head, patch, .. } = item;
    [get, put, post, delete, options, head, patch].map(Option::as_mut)
}

/// Adds to an operation what every route of its access answers.
fn publish(operation: &mut Operation, access: Access) {
    let mut codes = vec![Code::BadRequest, Code::Internal, Code::Unavailable];
    let (note, scopes) = match access {
        Access::Public => ("Takes no key.".to_owned(), None),
        Access::AnyKey => ("Takes every key.".to_owned(), Some(None)),
        Access::Key(scope) => (format!("Needs the scope `{scope}`."), Some(Some(scope.to_string()))),
        Access::OfFunctions(scope) => {
            let note = format!("Needs the scope `{scope}`. Takes keys that are restricted to functions too.");
            (note, Some(Some(scope.to_string())))
        }
    };
    operation.description =
        Some(operation.description.take().map_or_else(|| note.clone(), |text| format!("{text}\n\n{note}")));
    // An empty list says that the route is public: tools take a missing one as forgotten.
    operation.security = Some(Vec::new());
    if let Some(scope) = scopes {
        let requirement = |name: &str| SecurityRequirement::new(name, scope.clone());
        operation.security = Some(["bearer", "api_key"].map(requirement).into());
        codes.push(Code::Unauthenticated);
        codes.extend(access.scope().map(|_| Code::PermissionDenied));
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
