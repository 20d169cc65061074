//! A platform failure on its way to a person, and a function's own failure. They never look alike.

use serde::{Deserialize, Serialize};

use crate::{Code, FieldError, FieldRule, Reason, limits};

/// What ends a text that was cut.
const CUT_MARK: &str = " [cut]";
/// Bytes of the name of an error's type and of a file.
const NAME_MAX: usize = 512;
/// What is kept of an error for each of several attempts.
const ABRIDGED_MESSAGE: usize = 1 << 10;
const ABRIDGED_STACK: usize = 20;
const ABRIDGED_STACK_BYTES: usize = 4 << 10;
/// Bytes of an entry of a stack, of a source line and of a hint.
const LINE_MAX: usize = 1 << 10;

/// Seconds after which what passes with time is tried again, where nothing more is known.
const RETRY_AFTER_DEFAULT: u32 = 1;

/// Why the platform could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Fault {
    /// The catalogue entry.
    pub code: Code,
    /// Why, finer than the code.
    pub reason: Reason,
    /// What happened here, in one lowercase sentence without a full stop.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Whether the hint names commands, which a caller of the API cannot run.
    pub hint_is_command: bool,
    /// The fields that are wrong, where the request had some.
    pub errors: Vec<FieldError>,
    /// Whether it was done nevertheless, where the code alone does not tell.
    pub executed: Option<Executed>,
    /// The error inside the user's code, where that is the cause.
    pub function_error: Option<Box<FunctionError>>,
    /// Seconds after which trying again makes sense.
    pub retry_after: Option<u32>,
}

/// Whether what a request asked for was done, or begun: a function's code ran, state was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Executed {
    /// Nothing was done.
    No,
    /// It was done or begun.
    Yes,
    /// It may have been.
    Unknown,
}

/// An error raised by a function's own code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FunctionError {
    /// The error's type, such as `ValueError`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its message.
    pub message: String,
    /// The stack, outermost call first; frames of the platform are left out.
    #[serde(default)]
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
    /// The attempt to connect that a rule refused while it ran, with that rule and the setting that allows it.
    #[serde(rename = "network_denial", default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<String>,
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
    pub fn new(reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        let reason = reason.into();
        Self {
            code: reason.code(),
            reason,
            message: message.into(),
            hint: None,
            hint_is_command: false,
            errors: Vec::new(),
            executed: None,
            function_error: None,
            retry_after: None,
        }
    }

    /// The fault of a field of the body whose value cannot be used. The message begins with the field: `alias: …`.
    #[must_use]
    pub fn of_field(message: impl Into<String>) -> Self {
        let fault = Self::new(Reason::InvalidBody, message);
        let Some((field, text)) = fault.message.split_once(": ").filter(|(field, _)| !field.contains(' ')) else {
            return fault;
        };
        let (pointer, message) = (FieldError::pointer("", field), text.to_owned());
        fault.with_errors(vec![FieldError { pointer, rule: FieldRule::Invalid, message, value: None }])
    }

    /// The same for another reason.
    #[must_use]
    pub fn with_reason(mut self, reason: Reason) -> Self {
        (self.code, self.reason) = (reason.code(), reason);
        self
    }

    /// Adds the next step.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self.hint_is_command = false;
        self
    }

    /// Adds the next step as a command, for people at a terminal. Callers of the API get the reason's own hint.
    #[must_use]
    pub fn with_command_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self.hint_is_command = true;
        self
    }

    /// Adds the fields that are wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// Says whether what was asked for was done nevertheless.
    #[must_use]
    pub const fn with_executed(mut self, executed: Executed) -> Self {
        self.executed = Some(executed);
        self
    }

    /// What a caller of the API does next.
    #[must_use]
    pub fn api_hint(&self) -> Option<&str> {
        self.hint.as_deref().filter(|_| !self.hint_is_command).or(self.reason.hint())
    }

    /// Whether what was asked for was done: as the fault says, otherwise as its code does.
    #[must_use]
    pub fn executed(&self) -> Executed {
        self.executed.unwrap_or(match self.code {
            Code::TimeoutExceeded
            | Code::MemoryExceeded
            | Code::RuntimeError
            | Code::ProcessLimit
            | Code::TmpFull
            | Code::LogLimit => Executed::Yes,
            Code::Internal | Code::Cancelled => Executed::Unknown,
            _ => Executed::No,
        })
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

    /// After how many milliseconds the same request may succeed; absent where it fails again.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.is_retryable().then(|| u64::from(self.retry_after.unwrap_or(RETRY_AFTER_DEFAULT)) * 1_000)
    }

    /// A defect of ours. The cause goes to the log, not to the caller.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message).with_hint("see the server's log for this request id")
    }
}

// === impl FunctionError ===

impl FunctionError {
    /// The same with every part cut to what is kept of it. Of a long stack the innermost calls stay.
    #[must_use]
    pub fn bounded(self) -> Self {
        self.cut_to(limits::ERROR_MESSAGE_MAX, limits::ERROR_STACK_MAX, limits::ERROR_STACK_BYTES)
    }

    /// The same as it is kept for each of several attempts.
    #[must_use]
    pub fn abridged(self) -> Self {
        self.cut_to(ABRIDGED_MESSAGE, ABRIDGED_STACK, ABRIDGED_STACK_BYTES)
    }

    fn cut_to(self, message_max: usize, stack_max: usize, stack_bytes: usize) -> Self {
        let Self { kind, message, mut stack, file, line, column, snippet, hint, denial, limit } = self;
        let mut bytes = 0;
        let fits = |entry: &&String| {
            bytes += entry.len().min(LINE_MAX);
            bytes <= stack_bytes
        };
        let kept = stack.iter().rev().take(stack_max).take_while(fits).count();
        let left_out = stack.len() - kept;
        let mut stack: Vec<String> = stack.drain(left_out..).map(|entry| cut(entry, LINE_MAX)).collect();
        if left_out > 0 {
            stack.insert(0, format!("... {left_out} more calls ..."));
        }
        Self {
            kind: cut(kind, NAME_MAX),
            message: cut(message, message_max),
            stack,
            file: file.map(|file| cut(file, NAME_MAX)),
            line,
            column,
            snippet: snippet.map(|snippet| cut(snippet, LINE_MAX)),
            hint: hint.map(|hint| cut(hint, LINE_MAX)),
            denial: denial.map(|denial| cut(denial, LINE_MAX)),
            limit,
        }
    }
}

/// At most so many bytes of a text, with a mark where there were more.
#[must_use]
pub fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push_str(CUT_MARK);
        text.shrink_to_fit();
    }
    text
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

    #[test]
    fn an_error_of_any_size_is_cut_to_what_is_kept() {
        let long = "ü".repeat(400_000);
        let stack: Vec<String> = (0..5_000).map(|n| format!("call {n} {long}").chars().take(2_000).collect()).collect();
        let error = FunctionError {
            kind: long.clone(),
            message: long.clone(),
            stack,
            file: Some(long.clone()),
            snippet: Some(long.clone()),
            hint: Some(long.clone()),
            denial: Some(long),
            line: Some(7),
            ..FunctionError::default()
        };
        let bounded = error.bounded();
        let size = serde_json::to_vec(&bounded).expect("strings").len();
        assert!(size < 50 << 10, "{size}");
        assert!(bounded.stack.last().is_some_and(|entry| entry.starts_with("call 4999 ")), "the innermost call stays");
        assert_eq!(bounded.stack[0], format!("... {} more calls ...", 5_001 - bounded.stack.len()));
        assert!(bounded.message.ends_with("ü [cut]"));
        assert_eq!(bounded.line, Some(7));
    }

    #[test]
    fn an_error_of_ordinary_size_stays_as_it_is() {
        let error = FunctionError {
            kind: "KeyError".into(),
            message: "'x'".into(),
            stack: (0..limits::ERROR_STACK_MAX).map(|n| format!("call {n}")).collect(),
            hint: Some("look".into()),
            ..FunctionError::default()
        };
        assert_eq!(error.clone().bounded(), error);
        let mut deep = error;
        deep.stack.push("one more".into());
        assert_eq!(deep.bounded().stack.len(), limits::ERROR_STACK_MAX + 1);
    }
}
