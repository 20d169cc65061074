//! `/fn/{function}/…` and `/fn/{function}:{alias or version}/…`, and the same below `/async/`.

use axum::response::Response;
use faas_engine::{Engine, Selector};
use faas_ports::{Clock, SystemClock};
use faas_types::{Affinity, AliasName, Code, CorsSettings, Fault, InvocationMode, Scope, TriggerKind};
use faas_web::{Inbound, RequestId, ServerUrl, authenticate, key_of, render};
use http::header::{ALLOW, ORIGIN, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use crate::cache::ResponseCache;
use crate::cors::{allow_page, preflight};
use crate::http_triggers;
use crate::invoke::serve_call;
use crate::run_options::prefers_async;
use crate::sticky::sticky_key;
use crate::target::CallTarget;

/// Every function URL starts with it.
pub const PREFIX: &str = "/fn/";
/// The same for background runs.
pub const ASYNC_PREFIX: &str = "/async/";

/// Answers requests at function URLs and webhooks.
#[derive(Clone)]
pub struct Ingress {
    engine: Engine,
    cache: ResponseCache,
    audience: Audience,
    server: ServerUrl,
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody: only callers who may read runs see why a function failed.
    World,
    /// The author of the functions, on a private server: told everything.
    Author,
}

/// A function URL's path, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Address<'a> {
    function: &'a str,
    selector: Option<&'a str>,
    /// The rest of the path, with its slash.
    path: &'a str,
}

/// Why a request reaches no function.
struct Refused {
    fault: Fault,
    /// The methods that the path takes, where the request's is not among them.
    allow: Option<HeaderValue>,
}

// === impl Refused ===

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self { fault, allow: None }
    }
}

// === impl Ingress ===

impl Ingress {
    /// The data plane of `engine`, which stores responses in `cache` where functions allow it.
    #[must_use]
    pub fn new(engine: Engine, cache: ResponseCache, audience: Audience, server: ServerUrl) -> Self {
        Self { engine, cache, audience, server }
    }

    /// The id of a request with these headers.
    pub(crate) fn request_id(&self, headers: &HeaderMap) -> RequestId {
        RequestId::of(headers, SystemClock.now()).at(self.server)
    }

    /// Whether every caller may know why a function failed.
    pub(crate) fn tells_all(&self) -> bool {
        self.audience == Audience::Author
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Answers a request whose path starts with [`PREFIX`] or [`ASYNC_PREFIX`].
    pub async fn answer(&self, inbound: Box<Inbound>) -> Response {
        if !inbound.head.headers.contains_key(ORIGIN) {
            return self.call(inbound).await;
        }
        // Boxed: calls from pages are rarer, and their future is larger.
        Box::pin(self.answer_page(inbound)).await
    }

    /// Answers a page, where the function says which pages may call.
    async fn answer_page(&self, inbound: Box<Inbound>) -> Response {
        let head = &inbound.head;
        let Some(cors) = self.cors(head).await else { return self.call(inbound).await };
        if let Some(mut response) = preflight(&cors, head) {
            let id = self.request_id(&head.headers);
            response.headers_mut().insert(RequestId::HEADER, id.header());
            return response;
        }
        let origin = head.headers.get(ORIGIN).cloned();
        let mut response = self.call(inbound).await;
        if let Some(origin) = origin {
            allow_page(&cors, &origin, response.headers_mut());
        }
        response
    }

    /// What a function says of pages. A browser that asks shows no key, so only the function's default project is looked
    /// at then.
    async fn cors(&self, head: &Parts) -> Option<CorsSettings> {
        let address = Address::parse(head.uri.path());
        let selector = address.selector.map_or(Ok(Selector::Alias(AliasName::live())), str::parse).ok()?;
        let caller = key_of(&head.headers).and_then(|key| self.engine.keys().authenticate(key).ok());
        let project = caller.as_ref().map_or(self.engine.default_project(), |caller| caller.project);
        let mark = |by: &Affinity| sticky_key(&head.headers, by);
        let route = self.engine.runs.route_request(project, address.function, &selector, mark).await.ok()?;
        route.version.settings.cors.clone()
    }

    async fn call(&self, inbound: Box<Inbound>) -> Response {
        let head = &inbound.head;
        let id = self.request_id(&head.headers);
        match self.target(head).await {
            Ok(target) => {
                let varies = target.route.version.settings.cors.is_some() && !head.headers.contains_key(ORIGIN);
                let later = head.uri.path().starts_with(ASYNC_PREFIX) || is_background(head, &target);
                let mut response = if later || target.route.version.settings.cache.is_none() {
                    serve_call(&self.engine, target, inbound, &id, later).await
                } else {
                    // Boxed: its future is large, and most functions have no cache.
                    Box::pin(self.cache.answer(&self.engine, target, inbound, &id)).await
                };
                if varies {
                    // A cache in between must not give a page the response to another caller.
                    response.headers_mut().append(VARY, HeaderValue::from_static("Origin"));
                }
                response
            }
            Err(Refused { fault, allow }) => {
                let mut response = render(&fault, &id, None);
                if let Some(allow) = allow {
                    response.headers_mut().insert(ALLOW, allow);
                }
                response
            }
        }
    }

    async fn target(&self, head: &Parts) -> Result<CallTarget, Refused> {
        let address = Address::parse(head.uri.path());
        let selector = address.selector.map_or(Ok(Selector::Alias(AliasName::live())), str::parse)?;
        let caller = key_of(&head.headers).and_then(|key| self.engine.keys().authenticate(key).ok());
        let project = caller.as_ref().map_or(self.engine.default_project(), |caller| caller.project);
        let mark = |by: &Affinity| sticky_key(&head.headers, by);
        let route = match self.engine.runs.route_request(project, address.function, &selector, mark).await {
            Ok(route) => route,
            // Without a key the answer is that of a private function, so that names cannot be guessed.
            Err(fault) if caller.is_none() => {
                authenticate(&self.engine, &head.headers, Scope::Invoke)?;
                return Err(fault.into());
            }
            Err(fault) => {
                caller.as_ref().map_or(Ok(()), |caller| caller.check_reference(address.function))?;
                return Err(fault.into());
            }
        };
        // On a public function a key of others counts as none.
        let of_caller =
            caller.as_ref().filter(|caller| caller.may_use(route.entry.record.id, &route.entry.record.name));
        let may_invoke = of_caller.is_some_and(|caller| caller.may(Scope::Invoke));
        if !route.is_public() && !may_invoke {
            let caller = authenticate(&self.engine, &head.headers, Scope::Invoke)?;
            caller.check_function(route.entry.record.id, &route.entry.record.name)?;
        }
        let may_read = of_caller.is_some_and(|caller| caller.may(Scope::RunsRead));
        let details = may_read || self.audience == Audience::Author || route.tells_all();
        http_triggers::check(&route, head.method.as_str(), address.path).map_err(|fault| {
            let triggers = &route.version.settings.triggers;
            let allow = (fault.code == Code::MethodNotAllowed).then(|| http_triggers::allowed(triggers, address.path));
            Refused { fault, allow: allow.and_then(|methods| HeaderValue::try_from(methods).ok()) }
        })?;
        let prefix = address.prefix(head.uri.path());
        Ok(CallTarget {
            route,
            trigger: TriggerKind::Http,
            path: address.path.to_owned(),
            prefix: Some(prefix),
            details,
            keyless: !may_invoke,
        })
    }
}

// === impl Address ===

impl<'a> Address<'a> {
    fn parse(path: &'a str) -> Self {
        let rest = path.strip_prefix(PREFIX).or_else(|| path.strip_prefix(ASYNC_PREFIX)).unwrap_or_default();
        let (first, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        // Many clients write a colon in a segment as its escape.
        let split = first.split_once(':').or_else(|| first.split_once("%3A")).or_else(|| first.split_once("%3a"));
        let (function, selector) = match split {
            Some((function, selector)) => (function, Some(selector)),
            None => (first, None),
        };
        Self { function, selector, path }
    }

    /// What comes before the function's own path.
    fn prefix(&self, whole: &str) -> String {
        whole.strip_suffix(self.path).unwrap_or(whole).to_owned()
    }
}

/// Whether the caller or the function asks for a background run.
fn is_background(head: &Parts, target: &CallTarget) -> bool {
    target.route.version.settings.background.mode == InvocationMode::Async || prefers_async(&head.headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_apart() {
        let address = |function, selector, path| Address { function, selector, path };
        assert_eq!(Address::parse("/fn/hello"), address("hello", None, "/"));
        assert_eq!(Address::parse("/fn/hello/"), address("hello", None, "/"));
        assert_eq!(Address::parse("/fn/hello:3/a/b%2Fc"), address("hello", Some("3"), "/a/b%2Fc"));
        assert_eq!(Address::parse("/fn/hello%3A3/a"), address("hello", Some("3"), "/a"));
        assert_eq!(Address::parse("/async/hello:live/x"), address("hello", Some("live"), "/x"));
        assert_eq!(Address::parse("/fn/"), address("", None, "/"));
    }
}
