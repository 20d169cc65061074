//! Extractors whose rejections are faults that name the field and the fix.

use std::borrow::Cow;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::{IntoResponse, Response};
use faas_types::{Code, Fault, FieldError, FieldRule, Reason, limits};
use http::header::{CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::{HeaderMap, StatusCode, Uri};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json_objects::NamedFields;
use crate::{HandlerError, read_body};

/// A JSON body, in or out.
#[derive(Clone, Debug)]
pub struct Json<T>(pub T);

/// What a request made: its path, and how it looks. Answers 201.
#[derive(Clone, Debug)]
pub struct Created<T>(pub String, pub T);

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
        decode(bytes).map(Self).map_err(HandlerError)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, [(LOCATION, self.0)], axum::Json(self.1)).into_response()
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

/// A malformed document is the request's fault; a well-formed one that does not fit names the field that does not.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(NamedFields(&mut deserializer)).map_err(|error| {
        let path = error.path().to_string();
        explain(&path, error.inner())
    })?;
    deserializer.end().map_err(|error| explain("", &error))?;
    Ok(value)
}

fn explain(path: &str, error: &serde_json::Error) -> Fault {
    let message = format!("the body cannot be used: {error}");
    if error.classify() != serde_json::error::Category::Data {
        return Fault::new(Reason::MalformedJson, message);
    }
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    let (rule, named) = rule_of(text);
    let path = if path == "." { "" } else { path };
    let mut pointer = FieldError::pointer("", path);
    // What is missing is not on the path, and what is unknown is its last part already.
    if rule == FieldRule::Required {
        pointer.push_str(&FieldError::pointer("", named.unwrap_or_default()));
    }
    let field = FieldError { pointer, rule, message: text.to_owned(), value: None };
    Fault::new(Reason::InvalidBody, message).with_errors(vec![field])
}

/// What serde's words say is broken, and the field that they name.
fn rule_of(text: &str) -> (FieldRule, Option<&str>) {
    let named = || text.split('`').nth(1);
    if text.starts_with("unknown field") {
        (FieldRule::Unknown, named())
    } else if text.starts_with("missing field") {
        (FieldRule::Required, named())
    } else if text.starts_with("unknown variant") {
        (FieldRule::OneOf, None)
    } else if text.starts_with("invalid type") {
        (FieldRule::Type, None)
    } else if text.starts_with("invalid value") || text.starts_with("invalid length") {
        (FieldRule::Range, None)
    } else {
        (FieldRule::Invalid, None)
    }
}

// === impl PathParams ===

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathParams<T> {
    type Rejection = HandlerError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HandlerError> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(error) => {
                Err(HandlerError(Fault::new(Reason::InvalidParameter, format!("the path cannot be read: {error}"))))
            }
        }
    }
}

// === impl QueryParams ===

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParams<T> {
    type Rejection = HandlerError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HandlerError> {
        let query = parts.uri.query().unwrap_or_default();
        let found = match joined(query) {
            Some(query) => Query::try_from_uri(&query),
            None => Query::try_from_uri(&parts.uri),
        };
        match found {
            Ok(Query(value)) => Ok(Self(value)),
            Err(error) => Err(HandlerError(Fault::new(
                Reason::InvalidParameter,
                format!("the query cannot be read: {}", error.body_text()),
            ))),
        }
    }
}

/// A query in which a parameter that is repeated has its values with commas between them, as lists are written; `None` where
/// none is. What takes one value only is refused by the route table.
fn joined(query: &str) -> Option<Uri> {
    let mut pairs: Vec<(Cow<'_, str>, String)> = Vec::new();
    let mut is_repeated = false;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if let Some((_, values)) = pairs.iter_mut().find(|(known, _)| *known == name) {
            is_repeated = true;
            values.push(',');
            values.push_str(&value);
        } else {
            pairs.push((name, value.into_owned()));
        }
    }
    let query = || form_urlencoded::Serializer::new(String::from("/?")).extend_pairs(pairs).finish();
    if is_repeated { query().parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Outer {
        rows: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Inner {
        count: u8,
        word: Option<Word>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        Yes,
    }

    #[test]
    fn a_wrong_field_is_pointed_at() {
        for (body, pointer, rule) in [
            (r#"{"rows": [], "raws": 1}"#, "/raws", FieldRule::Unknown),
            (r#"{"rows": [{"count": 1}, {"count": 1, "cuont": 2}]}"#, "/rows/1/cuont", FieldRule::Unknown),
            (r"{}", "/rows", FieldRule::Required),
            (r#"{"rows": [{}]}"#, "/rows/0/count", FieldRule::Required),
            (r#"{"rows": [{"count": "one"}]}"#, "/rows/0/count", FieldRule::Type),
            (r#"{"rows": [{"count": 300}]}"#, "/rows/0/count", FieldRule::Range),
            (r#"{"rows": [{"count": 1, "word": "no"}]}"#, "/rows/0/word", FieldRule::OneOf),
            (r"[]", "", FieldRule::Type),
            (r#"{"rows": [[1]]}"#, "/rows/0", FieldRule::Type),
        ] {
            let fault = decode::<Outer>(body.as_bytes()).expect_err(body);
            let found: Vec<_> = fault.errors.iter().map(|error| (error.pointer.as_str(), error.rule)).collect();
            assert_eq!((fault.reason, found), (Reason::InvalidBody, vec![(pointer, rule)]), "{body}: {fault}");
        }
        for body in ["{", r#"{"rows": []} tail"#, "nope"] {
            assert_eq!(decode::<Outer>(body.as_bytes()).expect_err(body).reason, Reason::MalformedJson, "{body}");
        }
    }
}
