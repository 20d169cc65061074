//! Decides by the path which plane a request goes to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use faas_devloop::{ObservedCall, ReloadGate};
use faas_http::RequestHandler;
use faas_ingress::{ASYNC_PREFIX, HOOKS_PREFIX, Ingress, PREFIX};
use faas_web::Inbound;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tower::ServiceExt;

const PLAIN: &str = "text/plain; charset=utf-8";

/// Sends each request to the data plane or the control plane, behind one port.
pub(crate) struct PlaneRouter {
    pub(crate) ingress: Ingress,
    pub(crate) api: Router,
    /// On a private server, where calls wait for redeployments and are reported.
    pub(crate) gate: Option<Arc<ReloadGate>>,
}

// === impl PlaneRouter ===

impl RequestHandler for PlaneRouter {
    /// Function URLs take the short way past the control plane's router.
    async fn answer(&self, inbound: Box<Inbound>) -> Response {
        match self.gate.as_ref().filter(|_| is_call(inbound.head.uri.path())) {
            Some(gate) => Box::pin(self.gated(gate, inbound)).await,
            None => self.route(inbound).await,
        }
    }
}

impl PlaneRouter {
    /// A call on a private server: it waits until the saved code is deployed, and is reported.
    async fn gated(&self, gate: &ReloadGate, inbound: Box<Inbound>) -> Response {
        let (method, path) = (inbound.head.method.to_string(), inbound.head.uri.to_string());
        gate.pass().await;
        let began = Instant::now();
        let refusal =
            if is_function_url(inbound.head.uri.path()) { unserved(gate, &inbound.head.headers) } else { None };
        let response = match refusal {
            Some(refusal) => refusal,
            None => self.route(inbound).await,
        };
        let said = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        gate.report(ObservedCall {
            method,
            path,
            status: response.status().as_u16(),
            took: began.elapsed(),
            run: said("x-run-id"),
            is_cold: said("x-cold-start").map(|word| word == "true"),
            version: said("x-function-version"),
        });
        response
    }

    /// Everything but function calls is boxed: its futures would make theirs larger.
    async fn route(&self, mut inbound: Box<Inbound>) -> Response {
        let uri = &mut inbound.head.uri;
        if is_function_url(uri.path()) {
            return self.ingress.answer(inbound).await;
        }
        if uri.path().starts_with(HOOKS_PREFIX) {
            return Box::pin(self.ingress.deliver(inbound.into_request())).await;
        }
        if has_short_form(&inbound.head.method, uri.path()) {
            *uri = below_api(uri);
        }
        match Box::pin(self.api.clone().oneshot(inbound.into_request())).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Whether a request calls a function.
fn is_call(path: &str) -> bool {
    is_function_url(path) || path.starts_with(HOOKS_PREFIX) || path.ends_with("/invoke")
}

fn is_function_url(path: &str) -> bool {
    [PREFIX, ASYNC_PREFIX].iter().any(|prefix| path.starts_with(prefix))
}

/// The answer of a private server to a call that reaches no function.
fn unserved(gate: &ReloadGate, headers: &HeaderMap) -> Option<Response> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if gate.is_opened() && !is_of_this_machine(header(HOST)) {
        let text = "faas dev opens a private function to this machine only: call it as 127.0.0.1 or localhost, \
                    or set auth = \"public\" in faas.toml\n";
        return Some(answer(StatusCode::FORBIDDEN, PLAIN, text.to_owned()));
    }
    let failure = gate.failure()?;
    let wants_json = header(ACCEPT).contains("json");
    let (kind, text) = match wants_json {
        true => ("application/problem+json", failure.problem.to_string()),
        false => (PLAIN, failure.text.clone()),
    };
    Some(answer(StatusCode::SERVICE_UNAVAILABLE, kind, text))
}

fn answer(status: StatusCode, kind: &'static str, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Whether a `Host` header means this machine. HTTP/2 has none; browsers without TLS do not speak it.
fn is_of_this_machine(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(name, _)| name);
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
    host.is_empty() || name == "localhost" || name.ends_with(".localhost") || address.is_ok_and(|ip| ip.is_loopback())
}

/// Thirteen routes of functions also answer without `/api/v1`.
fn has_short_form(method: &Method, path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/functions") else { return false };
    let parts: Vec<&str> = rest.split('/').skip(1).collect();
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let shape = (method, parts.as_slice());
    (rest.is_empty() || rest.starts_with('/'))
        && parts.iter().all(|part| !part.is_empty())
        && matches!(
            shape,
            ("GET" | "POST", [])
                | ("GET" | "PUT" | "DELETE", [_])
                | ("POST", [_, "deploy" | "rollback" | "invoke" | "env"])
                | ("GET", [_, "logs" | "metrics" | "env"])
                | ("DELETE", [_, "env", _])
        )
}

fn below_api(uri: &Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    let path = parts.path_and_query.as_ref().map_or("/", PathAndQuery::as_str);
    parts.path_and_query = format!("/api/v1{path}").parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_of_this_machine_or_not() {
        for host in
            ["", "localhost", "localhost:1", "127.0.0.1:8080", "127.9.9.9", "[::1]", "[::1]:80", "hello.localhost:1"]
        {
            assert!(is_of_this_machine(host), "{host}");
        }
        for host in ["evil.example", "evil.example:80", "10.0.0.1:80", "127.0.0.1.evil.example", "[2001:db8::1]:80"] {
            assert!(!is_of_this_machine(host), "{host}");
        }
    }

    #[test]
    fn thirteen_routes_answer_without_the_prefix() {
        let bare = [
            "GET /functions",
            "POST /functions",
            "GET /functions/hello",
            "PUT /functions/hello",
            "DELETE /functions/hello",
            "POST /functions/hello/deploy",
            "POST /functions/hello/rollback",
            "POST /functions/hello/invoke",
            "GET /functions/hello/logs",
            "GET /functions/hello/metrics",
            "GET /functions/hello/env",
            "POST /functions/hello/env",
            "DELETE /functions/hello/env/KEY",
        ];
        let is_bare = |line: &str| {
            let (method, path) = line.split_once(' ').expect("two words");
            has_short_form(&method.parse().expect("a method"), path)
        };
        assert!(bare.into_iter().all(is_bare));
        for line in [
            "PATCH /functions/hello",
            "GET /functions/",
            "GET /functions/hello/",
            "GET /functions/hello/versions",
            "GET /functionsx",
            "GET /topics/orders",
            "POST /events",
            "PATCH /functions/hello/env",
            "DELETE /functions/hello/env/KEY/x",
        ] {
            assert!(!is_bare(line), "{line}");
        }
        let uri: Uri = "/functions/hello/logs?limit=3".parse().expect("valid");
        assert_eq!(below_api(&uri).to_string(), "/api/v1/functions/hello/logs?limit=3");
    }
}
