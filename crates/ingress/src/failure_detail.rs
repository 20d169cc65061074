//! How much of a failure its caller sees.

use std::borrow::Cow;

use faas_types::{Code, Fault, FunctionError};

/// A failure of a run as its caller may see it. Without `details` it names only the error code: messages, source positions
/// and hints come from the function's code and settings, and are for callers who may read its runs. What is wrong with the
/// request itself is always included.
pub(crate) fn brief(fault: &Fault, details: bool) -> Cow<'_, Fault> {
    let is_about_request = fault.function_error.is_none()
        && (fault.code.http_status() < 500 || matches!(fault.code, Code::Overloaded | Code::Unavailable));
    if details || is_about_request {
        return Cow::Borrowed(fault);
    }
    let message = match fault.code {
        Code::RuntimeError => "the function failed".to_owned(),
        code => code.title().to_owned(),
    };
    let mut brief = Fault::new(fault.reason, message.clone())
        .with_hint("a key that may read runs is told more, and so is the run's own record");
    brief.retry_after = fault.retry_after;
    brief.executed = fault.executed;
    brief.function_error = fault.function_error.is_some().then(|| {
        let kind = "FunctionError".to_owned();
        Box::new(FunctionError { kind, message, ..FunctionError::default() })
    });
    Cow::Owned(brief)
}
