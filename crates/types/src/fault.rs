//! A platform failure on its way to a person, and a function's own failure. They never look alike.

use serde::{Deserialize, Serialize};

use crate::Code;

/// Why the platform could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Fault {
    /// The catalogue entry.
    pub code: Code,
    /// What happened here, in one lowercase sentence without a full stop.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The error inside the user's code, where that is the cause.
    pub function_error: Option<Box<FunctionError>>,
    /// Seconds after which trying again makes sense.
    pub retry_after: Option<u32>,
}

/// An error raised by a function's own code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FunctionError {
    /// The error's type, such as `ValueError`.
    #[serde(rename = "errorType")]
    pub kind: String,
    /// Its message.
    #[serde(rename = "errorMessage")]
    pub message: String,
    /// The stack, outermost call first; frames of the platform are left out.
    #[serde(rename = "stackTrace", default)]
    pub stack: Vec<String>,
    /// The user's own file, relative to the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in that file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column in that line, from 1; known for syntax errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The source line with a caret under the place; known for syntax errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snippet: Option<String>,
    /// What to do next, where the shim knows (a package to install, a name meant).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The limit that the code ran into, where the shim can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<InnerLimit>,
}

/// A limit that shows as an error inside the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InnerLimit {
    /// No further process or thread could be started.
    Pids,
    /// `/tmp` is full.
    Tmp,
    /// The reply is larger than a body may be.
    Reply,
}

// === impl Fault ===

impl Fault {
    /// A fault with a message and nothing else.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, function_error: None, retry_after: None }
    }

    /// Adds the next step.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the function's own error.
    #[must_use]
    pub fn with_function_error(mut self, error: FunctionError) -> Self {
        if self.hint.is_none() {
            self.hint.clone_from(&error.hint);
        }
        self.function_error = Some(Box::new(error));
        self
    }

    /// Adds the time after which a retry makes sense.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Whether the same request may succeed when it is sent again unchanged. A conflict and a limit pass only where the fault
    /// says when: a name that is taken, or a count that is used up, stays so.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self.code {
            Code::Conflict | Code::RateLimited => self.retry_after.is_some(),
            code => code.is_retryable(),
        }
    }

    /// A defect of ours. The cause goes to the log, not to the caller.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message).with_hint("see the server's log for this request id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_passes_only_where_it_says_when() {
        let taken = Fault::new(Code::Conflict, "a function named `x` exists");
        assert!(!taken.is_retryable() && taken.with_retry_after(1).is_retryable());
        assert!(!Fault::new(Code::RateLimited, "a project has at most 3").is_retryable());
        assert!(
            Fault::new(Code::Overloaded, "busy").is_retryable() && !Fault::new(Code::NotFound, "gone").is_retryable()
        );
    }
}
