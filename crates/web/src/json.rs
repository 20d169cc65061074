//! Extractors whose rejections are faults that name the field and the fix.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::{IntoResponse, Response};
use faas_types::{Code, Fault, limits};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{HandlerError, read_body};

/// A JSON body, in or out.
#[derive(Clone, Debug)]
pub struct Json<T>(pub T);

/// Parameters in the path.
#[derive(Clone, Debug)]
pub struct PathParams<T>(pub T);

/// Parameters in the query.
#[derive(Clone, Debug)]
pub struct QueryParams<T>(pub T);

// === impl Json ===

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = HandlerError;

    async fn from_request(request: Request, _: &S) -> Result<Self, HandlerError> {
        check_media_type(request.headers())?;
        let (parts, body) = request.into_parts();
        let bytes = read_body(&parts.headers, body, limits::API_BODY_MAX as u64).await?;
        let bytes = if bytes.is_empty() { &b"{}"[..] } else { &bytes };
        serde_json::from_slice(bytes).map(Self).map_err(|error| HandlerError(explain(&error)))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Fault> {
    let given = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let essence = given.map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match essence.as_deref() {
        None | Some("application/json" | "") => Ok(()),
        Some(other) if other.ends_with("+json") => Ok(()),
        Some(other) => Err(Fault::new(Code::UnsupportedMediaType, format!("a body of `{other}` is not taken here"))
            .with_hint("send JSON with `Content-Type: application/json`")),
    }
}

/// A malformed document is the request's fault; a well-formed one that does not fit is a wrong configuration.
fn explain(error: &serde_json::Error) -> Fault {
    let code = match error.classify() {
        serde_json::error::Category::Data => Code::InvalidConfiguration,
        _ => Code::BadRequest,
    };
    Fault::new(code, format!("the body cannot be used: {error}")).with_hint("its form is described at /openapi.json")
}

// === impl PathParams ===

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathParams<T> {
    type Rejection = HandlerError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HandlerError> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(error) => Err(HandlerError(Fault::new(Code::BadRequest, format!("the path cannot be read: {error}")))),
        }
    }
}

// === impl QueryParams ===

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParams<T> {
    type Rejection = HandlerError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HandlerError> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(error) => Err(HandlerError(
                Fault::new(Code::BadRequest, format!("the query cannot be read: {}", error.body_text()))
                    .with_hint("the parameters of each path are described at /openapi.json"),
            )),
        }
    }
}
