//! Compression of documents and lists.
//!
//! What is compressed is chosen by the route, and by no default: the length of a compressed answer tells how much its parts
//! repeat each other. Where a secret may stand beside what a stranger chose, as in logs, runs and their inputs, vars and
//! secrets, somebody who sees lengths could guess it letter by letter (BREACH). Replies of functions are the functions' own,
//! and a stream would be held back.

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CONTENT_TYPE, ETAG};
use http::{Extensions, HeaderMap, Method, StatusCode, Version};
use tower::ServiceExt;
use tower_http::compression::{Compression, Predicate};

/// Below it, headers and blocks cost more than they save.
const BYTES_MIN: u64 = 1_024;

/// What is compressed of an answer to a route that may be.
#[derive(Clone, Copy, Debug)]
struct Documents;

// === impl Documents ===

impl Predicate for Documents {
    fn should_compress<B: http_body::Body>(&self, response: &http::Response<B>) -> bool {
        is_document(response.status(), response.version(), response.headers(), response.extensions())
            && response.body().size_hint().exact().is_some_and(|length| length >= BYTES_MIN)
    }
}

/// A strong `ETag` is of these very bytes; `If-Match` needs it, so what has one stays as it is.
fn is_document(status: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    status.is_success()
        && !headers.contains_key(ETAG)
        && matches!(kind, "application/json" | "text/plain" | "text/html")
}

/// Compresses the answers of routes that hold no secrets.
pub(crate) async fn compress(request: Request, next: Next) -> Response {
    let pattern = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if request.method() != Method::GET || !pattern.is_some_and(holds_no_secrets) {
        return next.run(request).await;
    }
    match Compression::new(next).compress_when(Documents).oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

/// Routes whose answers are the same text for all who may read them.
fn holds_no_secrets(pattern: &str) -> bool {
    let Some(below) = pattern.strip_prefix("/api/v1/") else { return pattern == "/metrics" };
    let mut parts = below.split('/');
    matches!(
        (parts.next().unwrap_or_default(), parts.nth(1)),
        ("functions", None | Some("versions" | "deployments" | "aliases" | "rollout" | "metrics"))
            | (
                "layers" | "package-layers" | "runtimes" | "instances" | "system" | "deployments" | "deployment-groups",
                _
            )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_hold_secrets_is_not_compressed() {
        for open in [
            "/metrics",
            "/api/v1/functions",
            "/api/v1/functions/{function}/versions",
            "/api/v1/functions/{function}/versions/{version}/files",
            "/api/v1/layers",
        ] {
            assert!(holds_no_secrets(open), "{open}");
        }
        for closed in [
            "/api/v1/functions/{function}/vars",
            "/api/v1/functions/{function}/env",
            "/api/v1/functions/{function}/triggers",
            "/api/v1/functions/{function}/logs",
            "/api/v1/functions/{function}/invoke",
            "/api/v1/logs",
            "/api/v1/runs",
            "/api/v1/runs/{run}/input",
            "/api/v1/dead-letters",
            "/api/v1/secrets",
            "/api/v1/vars",
            "/api/v1/keys",
            "/api/v1/settings/callback-secret",
            "/api/v1/topics",
            "",
        ] {
            assert!(!holds_no_secrets(closed), "{closed}");
        }
    }
}
