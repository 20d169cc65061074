//! `Prefer: wait=N`: how long a client wants to wait for what is carried out in the background.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::Response;
use faas_types::{Fault, Reason, limits};
use faas_web::HandlerError;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How long the answer may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait(Option<Duration>);

// === impl Wait ===

impl Wait {
    /// The longest wait of the server: within it every deployment ends.
    pub(crate) const LONGEST: Self = Self(Some(longest()));

    /// Waits for the outcome of what goes on by itself; `None` when it takes longer.
    pub(crate) async fn for_end<T>(self, outcome: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(self.0?, outcome).await.ok()
    }

    /// Says in a response how long was waited at most.
    pub(crate) fn applied(self, mut response: Response) -> Response {
        if let Some(wait) = self.0
            && let Ok(value) = HeaderValue::from_str(&format!("wait={}", wait.as_secs()))
        {
            response.headers_mut().insert(APPLIED, value);
        }
        response
    }
}

impl<S: Sync> FromRequestParts<S> for Wait {
    type Rejection = HandlerError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HandlerError> {
        Ok(Self(wait(&parts.headers)?))
    }
}

fn wait(headers: &HeaderMap) -> Result<Option<Duration>, Fault> {
    let given = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let preferences = given.flat_map(|value| value.split([',', ';'])).map(str::trim);
    let Some(text) = preferences.filter_map(|one| one.strip_prefix("wait=")).next() else { return Ok(None) };
    let seconds: u64 = text.trim_matches('"').parse().map_err(|_| {
        Fault::new(Reason::InvalidHeader, "the header Prefer: wait is not a number of seconds")
            .with_hint("write it as Prefer: wait=60")
    })?;
    Ok(Some(Duration::from_secs(seconds).min(longest())))
}

const fn longest() -> Duration {
    limits::BUILD_TIME_MAX.saturating_add(limits::INIT_TIMEOUT).saturating_add(Duration::from_secs(30))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(prefer: &str) -> Result<Option<Duration>, Reason> {
        let mut headers = HeaderMap::new();
        headers.insert(PREFER, HeaderValue::from_str(prefer).expect("a header"));
        wait(&headers).map_err(|fault| fault.reason)
    }

    #[test]
    fn a_wait_is_read_beside_others_and_bounded() {
        assert_eq!(read("wait=60"), Ok(Some(Duration::from_secs(60))));
        assert_eq!(read("respond-async, wait=5"), Ok(Some(Duration::from_secs(5))));
        assert_eq!(read("respond-async"), Ok(None));
        assert_eq!(read("wait=999999"), Ok(Some(longest())));
        assert_eq!(read("wait=5m"), Err(Reason::InvalidHeader));
    }
}
