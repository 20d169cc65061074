//! Any route of the server, for what the other methods do not cover.

use faas_proto::rest::Problem;

use crate::invoke::{INVOKE_TIMEOUT, InvokeRequest, Reply, method};
use crate::{CallMeta, Client, ClientError};

// === impl Client ===

impl Client {
    /// Sends a request with this client's key to a path of its server, with its query, and gives the answer as it is,
    /// whatever its status. Of `call` the method, the headers and the body count.
    ///
    /// # Errors
    /// See [`ClientError`]. An HTTP status is not an error here.
    pub async fn raw(&self, path: &str, call: InvokeRequest) -> Result<Reply, ClientError> {
        let headers = call.header_map()?;
        let request = self.request(method(call.method.as_deref())?, &below(path))?;
        let response = request
            .timeout(INVOKE_TIMEOUT)
            .headers(headers)
            .body(call.body)
            .send()
            .await
            .map_err(|error| self.transport(&error))?;
        let status = response.status().as_u16();
        let meta = CallMeta::from_headers(response.headers());
        let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let body = self.body(response).await?;
        Ok(Reply { status, headers, body: body.into(), meta })
    }
}

// === impl Reply ===

impl Reply {
    /// What the platform refused, where this answer says so.
    #[must_use]
    pub fn refusal(&self) -> Option<ClientError> {
        let problem: Problem = serde_json::from_slice(&self.body).ok()?;
        (problem.status == self.status && self.status >= 400).then(|| ClientError::Api(Box::new(problem)))
    }
}

/// A path of the server that the client knows, which alone may see its key: the dot keeps what looks like another server's
/// URL from being one.
fn below(path: &str) -> String {
    format!("./{}", path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ApiKey, Connection};

    #[test]
    fn no_path_leads_to_another_server() {
        let key = ApiKey::new(&format!("faas_{}", "a".repeat(49))).expect("a key");
        let client = Client::new(Connection::new("http://127.0.0.1:1", Some(key)).expect("valid")).expect("a client");
        for path in ["/api/v1/status", "http://evil.example/x", "//evil.example/x", "/\\evil.example", "../../x"] {
            let request = client.request(reqwest::Method::GET, &below(path)).expect("a request");
            let url = request.build().expect("built").url().clone();
            assert_eq!((url.host_str(), url.port()), (Some("127.0.0.1"), Some(1)), "{path}");
        }
    }
}
