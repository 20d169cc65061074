//! Names of headers about a run, in requests and responses.

use http::HeaderName;

pub(crate) const RUN_ID: HeaderName = HeaderName::from_static("x-run-id");
pub(crate) const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
pub(crate) const VERSION: HeaderName = HeaderName::from_static("x-function-version");
