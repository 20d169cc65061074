//! The client itself: how requests are made and answers are read.

use std::time::Duration;

use faas_proto::rest::Problem;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{ClientError, Connection};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Control calls answer in milliseconds; this bounds a server that hangs.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(60);
/// An answer of the control plane is never larger.
const ANSWER_MAX: usize = 64 << 20;

/// Speaks to one server. Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) connection: Connection,
}

// === impl Client ===

impl Client {
    /// A client for one endpoint. No connection is made yet.
    ///
    /// # Errors
    /// [`ClientError::InvalidEndpoint`] when the HTTP stack cannot be set up for it.
    pub fn new(connection: Connection) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("faas-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // A key must not follow a redirect to somewhere else, and the API has none.
            .redirect(reqwest::redirect::Policy::none());
        if connection.is_local() {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| ClientError::InvalidEndpoint {
            endpoint: connection.endpoint().to_owned(),
            reason: deepest(&error),
        })?;
        Ok(Self { http, connection })
    }

    /// Where the server is.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// A request below the endpoint. `path` has no leading slash and its parts are already escaped.
    pub(crate) fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, ClientError> {
        let url: Url = self.connection.endpoint.join(path).map_err(|error| {
            ClientError::InvalidArgument(format!("`{path}` cannot be part of a URL: {error}; check the name"))
        })?;
        let request = self.http.request(method, url).timeout(CONTROL_TIMEOUT);
        Ok(match &self.connection.key {
            Some(key) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
                    .expect("keys are visible ASCII, checked when made");
                value.set_sensitive(true);
                request.header(AUTHORIZATION, value)
            }
            None => request,
        })
    }

    /// GETs JSON.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, query: &impl Serialize) -> Result<T, ClientError> {
        self.read(self.request(Method::GET, path)?.query(query)).await
    }

    /// Sends JSON, reads JSON.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.read(self.request(method, path)?.json(body)).await
    }

    /// Sends a request whose answer has no body that matters.
    pub(crate) async fn done(&self, request: RequestBuilder) -> Result<(), ClientError> {
        self.accept(request).await.map(drop)
    }

    /// Sends a request and reads its JSON answer.
    pub(crate) async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.accept(request).await?;
        let bytes = self.body(response).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.protocol(format!("the body does not fit: {error}")))
    }

    /// Sends a request; an answer that is not a success becomes an error.
    pub(crate) async fn accept(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.transport(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    /// Reads a whole body, within a bound.
    pub(crate) async fn body(&self, response: Response) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        self.read_body(response, &mut bytes).await?;
        Ok(bytes)
    }

    /// The same into a buffer, which has what came before it failed.
    pub(crate) async fn read_body(&self, mut response: Response, bytes: &mut Vec<u8>) -> Result<(), ClientError> {
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(&error))? {
            if bytes.len() + chunk.len() > ANSWER_MAX {
                return Err(self.protocol(format!("the body is larger than {} MB", ANSWER_MAX >> 20)));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(())
    }

    /// The error inside an answer that is not a success.
    async fn refusal(&self, response: Response) -> ClientError {
        let status = response.status();
        match self.body(response).await {
            Ok(body) => self.problem(status, &body).unwrap_or_else(|| self.protocol(unlike_us(status, &body))),
            Err(error) => error,
        }
    }

    /// The problem inside a body, if it is one.
    pub(crate) fn problem(&self, status: StatusCode, body: &[u8]) -> Option<ClientError> {
        let problem: Problem = serde_json::from_slice(body).ok()?;
        (problem.status == status.as_u16()).then(|| ClientError::Api(Box::new(problem)))
    }

    pub(crate) fn protocol(&self, message: impl Into<String>) -> ClientError {
        ClientError::Protocol { endpoint: self.connection.endpoint().to_owned(), message: message.into() }
    }

    pub(crate) fn transport(&self, error: &reqwest::Error) -> ClientError {
        let endpoint = self.connection.endpoint().to_owned();
        if error.is_timeout() && !error.is_connect() {
            ClientError::Timeout { endpoint }
        } else if error.is_decode() {
            self.protocol(deepest(error))
        } else {
            ClientError::Unreachable { endpoint, reason: deepest(error) }
        }
    }
}

/// One part of a path, escaped. Refuses what would change the path's meaning.
pub(crate) fn segment(text: &str) -> Result<String, ClientError> {
    if text.is_empty() || text == "." || text == ".." {
        return Err(ClientError::InvalidArgument(format!(
            "`{text}` is not a name; list names with `faas functions list`"
        )));
    }
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(escaped)
}

/// The innermost cause: "connection refused" rather than "error sending request".
fn deepest(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    // The system adds its number to what it says; people have no use for it.
    let text = text.split(" (os error").next().unwrap_or(&text).trim().to_owned();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn unlike_us(status: StatusCode, body: &[u8]) -> String {
    let start: String = String::from_utf8_lossy(body).chars().take(120).collect();
    let start = start.split_whitespace().collect::<Vec<_>>().join(" ");
    if start.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {start}") }
}

impl Client {
    pub(crate) fn media_type(response: &Response) -> String {
        let value = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cannot_leave_their_place() {
        assert_eq!(segment("hello-1").ok().as_deref(), Some("hello-1"));
        assert_eq!(segment("a/b?c#d").ok().as_deref(), Some("a%2Fb%3Fc%23d"));
        assert!(segment("..").is_err() && segment("").is_err());
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable() {
        // Port 1 of the loopback interface is reserved and unused.
        let client = Client::new(Connection::new("http://127.0.0.1:1", None).expect("good")).expect("set up");
        let error = client.status().await.expect_err("nobody listens");
        assert!(
            matches!(&error, ClientError::Unreachable { reason, .. } if reason == "connection refused"),
            "{error:?}"
        );
        assert_eq!((error.exit_code(), error.code()), (9, None));
        assert!(error.hint().expect("a hint").contains("faas up"));
    }

    #[test]
    fn a_problem_is_one_only_when_it_says_so() {
        let client = Client::new(Connection::new("http://127.0.0.1:1", None).expect("good")).expect("set up");
        let body = br#"{"type":"/errors/FN_001","title":"function not found","status":404,"detail":"no function `x`",
            "code":"FN_001","reason":"function_not_found","request_id":"r","retry":{"safe":false,"executed":"no"},
            "docs_url":"/errors/function_not_found"}"#;
        let error = client.problem(StatusCode::NOT_FOUND, body).expect("a problem");
        assert_eq!((error.exit_code(), error.to_string().as_str()), (4, "no function `x`"));
        assert!(client.problem(StatusCode::BAD_GATEWAY, body).is_none());
        assert!(client.problem(StatusCode::NOT_FOUND, b"<html>").is_none());
    }
}
