//! Calls of a function.

use std::time::Duration;

use bytes::Bytes;
use faas_proto::rest::{FunctionFailure, Problem};
use faas_types::limits;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response};

use crate::client::segment;
use crate::functions::path;
use crate::{CallMeta, Client, ClientError};

/// Longer than any function may run and wait, so that the server's own verdict arrives first.
pub(crate) const INVOKE_TIMEOUT: Duration = limits::TIMEOUT_MAX.saturating_add(Duration::from_secs(90));

/// What a function is given.
#[derive(Clone, Debug, Default)]
pub struct InvokeRequest {
    /// The body as it is.
    pub body: Bytes,
    /// Headers beside the key's; a `content-type` among them wins over the default.
    pub headers: Vec<(String, String)>,
    /// A path below the function's URL with its query, such as `/items?limit=3`; absent calls the invoke API.
    pub path: Option<String>,
    /// The method for a call with a path; POST when absent.
    pub method: Option<String>,
}

/// What a function answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status that the function chose.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
    /// What the platform says of the call.
    pub meta: CallMeta,
}

// === impl InvokeRequest ===

impl InvokeRequest {
    /// A request with a JSON body.
    #[must_use]
    pub fn json(value: &serde_json::Value) -> Self {
        Self { body: value.to_string().into(), ..Self::default() }
    }

    /// What the body most likely is. What begins like an object or a list was meant as JSON, even when it is broken:
    /// the answer then says where.
    fn guess(&self) -> &'static str {
        let is_json = matches!(self.body.trim_ascii_start().first(), Some(b'{' | b'['))
            || serde_json::from_slice::<serde::de::IgnoredAny>(&self.body).is_ok();
        match std::str::from_utf8(&self.body) {
            _ if is_json => "application/json",
            Ok(_) => "text/plain; charset=utf-8",
            Err(_) => "application/octet-stream",
        }
    }

    pub(crate) fn header_map(&self) -> Result<HeaderMap, ClientError> {
        let mut map = HeaderMap::new();
        if !self.body.is_empty() {
            map.insert(CONTENT_TYPE, HeaderValue::from_static(self.guess()));
        }
        for (name, value) in &self.headers {
            let invalid =
                || ClientError::InvalidArgument(format!("`{name}` is not a usable header; write NAME: VALUE"));
            let header = HeaderName::try_from(name.as_str()).map_err(|_| invalid())?;
            let value = HeaderValue::from_str(value).map_err(|_| invalid())?;
            if header == CONTENT_TYPE {
                map.insert(header, value);
            } else {
                map.append(header, value);
            }
        }
        Ok(map)
    }
}

// === impl Client ===

impl Client {
    /// Calls a function and waits for its answer. An answer with a status of 400 or more that the function chose
    /// itself is a [`Reply`], not an error.
    ///
    /// # Errors
    /// [`ClientError::FunctionFailed`] when its code failed, [`ClientError::Api`] when the platform could not call it.
    pub async fn invoke(&self, name: &str, call: InvokeRequest) -> Result<Reply, ClientError> {
        let headers = call.header_map()?;
        let (method, path) = match &call.path {
            None if call.method.is_none() => (Method::POST, path(name, "/invoke")?),
            below => {
                let below = below.as_deref().unwrap_or("/").trim_start_matches('/');
                (method(call.method.as_deref())?, format!("fn/{}/{below}", segment(name)?))
            }
        };
        let request = self.request(method, &path)?.timeout(INVOKE_TIMEOUT).headers(headers).body(call.body);
        let response = request.send().await.map_err(|error| self.transport(&error))?;
        self.reply(response).await
    }

    /// The body of a function's answer. One that is cut short is the function's doing or its end, not the server's.
    async fn whole_answer(&self, response: Response, meta: &CallMeta) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        match self.read_body(response, &mut bytes).await {
            Ok(()) => Ok(bytes),
            Err(ClientError::Protocol { .. } | ClientError::Unreachable { .. }) if meta.run_id.is_some() => {
                Err(ClientError::BrokenOff { run_id: meta.run_id.clone(), received: bytes.len() })
            }
            Err(error) => Err(error),
        }
    }

    async fn reply(&self, response: Response) -> Result<Reply, ClientError> {
        let meta = CallMeta::from_headers(response.headers());
        let source = response.headers().get("x-error-source").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let media_type = Self::media_type(&response);
        let status = response.status();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body = self.whole_answer(response, &meta).await?;
        let is_own = source.as_deref() == Some("function");
        let refused = status.is_client_error() || status.is_server_error();
        if refused
            && media_type == "application/problem+json"
            && let Some(error) = self.problem(status, &body)
        {
            return Err(if is_own { own_failure(error, meta) } else { error });
        }
        if is_own {
            let failure: FunctionFailure = serde_json::from_slice(&body)
                .map_err(|error| self.protocol(format!("the function's failure does not fit: {error}")))?;
            return Err(ClientError::FunctionFailed { failure: Box::new(failure), meta });
        }
        Ok(Reply { status: status.as_u16(), headers, body: body.into(), meta })
    }
}

/// The function's own error, which the API has inside a problem and its URL has alone.
fn own_failure(error: ClientError, meta: CallMeta) -> ClientError {
    match error {
        ClientError::Api(problem) => match *problem {
            Problem { function_error: Some(error), code, run_id: Some(run_id), .. } => {
                ClientError::FunctionFailed { failure: Box::new(FunctionFailure { error, code, run_id }), meta }
            }
            problem => ClientError::Api(Box::new(problem)),
        },
        other => other,
    }
}

pub(crate) fn method(text: Option<&str>) -> Result<Method, ClientError> {
    let text = text.unwrap_or("POST");
    Method::from_bytes(text.to_ascii_uppercase().as_bytes())
        .map_err(|_| ClientError::InvalidArgument(format!("`{text}` is not a method; use GET, POST, PUT and so on")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_speaks_in_headers() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("x-run-id", "run_1"), ("x-duration-ms", "1.5"), ("x-cold-start", "true"), ("x-function-version", "3")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let meta = CallMeta::from_headers(&headers);
        let expected =
            CallMeta { run_id: Some("run_1".into()), duration_ms: Some(1.5), cold_start: Some(true), version: Some(3) };
        assert_eq!(meta, expected);
        assert_eq!(CallMeta::from_headers(&HeaderMap::new()), CallMeta::default());
    }

    #[test]
    fn a_body_is_taken_for_what_it_looks_like() {
        let guess = |body: &'static [u8]| InvokeRequest { body: body.into(), ..InvokeRequest::default() }.guess();
        assert_eq!([guess(b"{\"a\": 1}"), guess(b" [1,"), guess(b"3")], ["application/json"; 3]);
        assert_eq!(guess(b"hello"), "text/plain; charset=utf-8");
        assert_eq!(guess(b"\xff\xfe"), "application/octet-stream");
    }

    #[test]
    fn a_content_type_of_ones_own_wins() {
        let mut call = InvokeRequest::json(&serde_json::json!({}));
        call.headers = vec![("Content-Type".into(), "text/plain".into()), ("X-A".into(), "1".into())];
        let map = call.header_map().expect("good headers");
        assert_eq!(map.get_all(CONTENT_TYPE).iter().count(), 1);
        assert_eq!(map[CONTENT_TYPE], "text/plain");
        call.headers = vec![("bad name".into(), "1".into())];
        assert!(call.header_map().is_err());
    }
}
