//! A failure as a person reads it, and the exit code that goes with it.

use std::fmt;

use faas_client::ClientError;
use faas_config::{ConfigError, LoadManifestError, ManifestErrors};
use faas_types::{Code, Fault, FieldError, FunctionError};
use serde_json::{Value, json};

use crate::text::visible;

/// Why a command failed, ready to print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The catalogue entry, where there is one.
    pub code: Option<Code>,
    /// What happened, in one sentence.
    pub message: String,
    /// More lines.
    pub details: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// How the process ends.
    pub exit: u8,
    /// The server's own words, where the failure is an answer of the server.
    pub body: Option<Box<Value>>,
}

/// What a failure without an entry in the catalogue is called.
const TITLE: &str = "The command failed";

// === impl Failure ===

impl Failure {
    /// A failure of a catalogue entry.
    #[must_use]
    pub fn of(code: Code, message: impl Into<String>) -> Self {
        Self { code: Some(code), message: message.into(), exit: code.exit_code(), ..Self::default() }
    }

    /// A command line that cannot be acted upon.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: 2, ..Self::default() }
    }

    /// Adds the next step.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The lines below the first one, as people read them: details, what to do next, where to read on.
    pub fn further_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.details.iter().map(|detail| format!("  {detail}")).collect();
        if let Some(hint) = &self.hint {
            let hint: Vec<&str> = hint.lines().collect();
            lines.push(format!("  hint: {}", hint.join("\n        ")));
        }
        lines.extend(self.code.map(|code| format!("  docs: faas explain {code}")));
        lines
    }

    /// The failure for programs: the server's answer as it is, or what happened here in the same form.
    pub fn to_json(&self) -> Value {
        if let Some(body) = &self.body {
            return Value::clone(body);
        }
        let mut problem = json!({
            "type": "about:blank",
            "title": self.code.map_or(TITLE, Code::title),
            "detail": self.message,
            "exit_code": self.exit,
        });
        if let Some(code) = self.code {
            problem["code"] = json!(code);
        }
        if !self.details.is_empty() {
            problem["details"] = json!(self.details);
        }
        if let Some(hint) = &self.hint {
            problem["hint"] = json!(hint);
        }
        problem
    }

    /// How the first line begins.
    pub fn head(&self) -> String {
        self.code.map_or_else(|| "error".to_owned(), |code| format!("error[{code}]"))
    }

    /// Reads an error of any origin. The first cause that is known decides.
    #[must_use]
    pub fn from_error(error: &anyhow::Error) -> Self {
        error.chain().find_map(known).unwrap_or_else(|| Self {
            message: visible(&format!("{error:#}")),
            exit: 1,
            ..Self::default()
        })
    }
}

fn known(cause: &(dyn std::error::Error + 'static)) -> Option<Failure> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        Some(failure.clone())
    } else if let Some(error) = cause.downcast_ref::<ClientError>() {
        Some(error.into())
    } else if let Some(fault) = cause.downcast_ref::<Fault>() {
        Some(fault.into())
    } else if let Some(errors) = cause.downcast_ref::<ManifestErrors>() {
        Some(errors.into())
    } else if let Some(error) = cause.downcast_ref::<LoadManifestError>() {
        Some(match error {
            LoadManifestError::Invalid(errors) => errors.into(),
            other => Failure::of(Code::InvalidConfiguration, other.to_string()),
        })
    } else {
        cause.downcast_ref::<ConfigError>().map(|error| Failure::of(Code::InvalidConfiguration, error.to_string()))
    }
}

/// What is wrong with each field, where the message does not say it all.
fn field_lines(errors: &[FieldError]) -> Vec<String> {
    if errors.len() < 2 {
        return Vec::new();
    }
    errors.iter().map(|error| visible(&error.message)).collect()
}

/// The lines that lead a person to the error in the function's own code.
fn function_lines(error: &FunctionError) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(file) = &error.file {
        let line = error.line.map(|line| format!(":{line}")).unwrap_or_default();
        let column = error.column.map(|column| format!(":{column}")).unwrap_or_default();
        lines.push(format!("at {file}{line}{column}"));
    }
    lines.extend(error.snippet.iter().flat_map(|text| text.lines()).map(|line| format!("    {line}")));
    if !error.stack.is_empty() {
        lines.push("stack, outermost call first:".to_owned());
        lines.extend(error.stack.iter().flat_map(|frame| frame.lines()).map(|line| format!("    {line}")));
    }
    lines.iter().map(|line| visible(line)).collect()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<&ClientError> for Failure {
    fn from(error: &ClientError) -> Self {
        let mut failure = Self {
            code: error.code(),
            message: visible(&error.to_string()),
            details: Vec::new(),
            hint: error.hint().map(|hint| visible(&hint)),
            exit: error.exit_code(),
            body: None,
        };
        match error {
            ClientError::FunctionFailed { failure: raised, meta } => {
                failure.body = serde_json::to_value(raised).ok().map(Box::new);
                failure.message = visible(&headline(&raised.error));
                failure.details = function_lines(&raised.error);
                failure.details.extend(meta.run_id.iter().map(|run| format!("run: faas runs get {run}")));
            }
            ClientError::Api(problem) => {
                failure.body = serde_json::to_value(problem).ok().map(Box::new);
                failure.details = field_lines(&problem.errors);
                failure.details.extend(problem.function_error.iter().flat_map(function_lines));
                failure.details.extend(problem.run_id.iter().map(|run| format!("run: faas runs get {run}")));
                let inner = problem.function_error.as_ref().and_then(|error| error.hint.clone());
                failure.hint = failure.hint.or(inner);
            }
            _ => {}
        }
        failure
    }
}

fn headline(error: &FunctionError) -> String {
    if error.message.is_empty() { error.kind.clone() } else { format!("{}: {}", error.kind, error.message) }
}

impl From<&Fault> for Failure {
    fn from(fault: &Fault) -> Self {
        let mut failure = Self::of(fault.code, visible(&fault.message));
        failure.details = field_lines(&fault.errors);
        failure.details.extend(fault.function_error.iter().flat_map(|error| function_lines(error)));
        failure.hint.clone_from(&fault.hint);
        failure
    }
}

impl From<&ManifestErrors> for Failure {
    fn from(errors: &ManifestErrors) -> Self {
        let mut lines = errors.lines().map(|line| visible(&line));
        let first = lines.next().unwrap_or_default();
        let rest: Vec<_> = lines.collect();
        if rest.is_empty() {
            return Self::of(Code::InvalidConfiguration, first);
        }
        let count = rest.len() + 1;
        let mut failure = Self::of(Code::InvalidConfiguration, format!("{} has {count} problems", errors.source));
        failure.details = std::iter::once(first).chain(rest).collect();
        failure
    }
}

/// What the system says, without its number.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use faas_config::Manifest;

    use super::*;

    #[test]
    fn the_first_known_cause_decides() {
        let error = anyhow::Error::new(Fault::new(Code::Conflict, "taken").with_hint("wait")).context("deploying");
        let failure = Failure::from_error(&error);
        assert_eq!((failure.code, failure.exit, failure.hint.as_deref()), (Some(Code::Conflict), 6, Some("wait")));
        let plain = Failure::from_error(&anyhow::anyhow!("inner").context("outer"));
        assert_eq!((plain.message.as_str(), plain.exit, plain.code), ("outer: inner", 1, None));
    }

    #[test]
    fn programs_get_the_server_s_answer_or_the_same_form() {
        let problem = json!({
            "type": "/errors/FN_014", "title": "Conflict", "status": 409, "detail": "taken", "code": "FN_014",
            "reason": "conflict", "request_id": "req_1", "retry": {"safe": false, "executed": "no"},
            "docs_url": "http://127.0.0.1:8080/errors/conflict",
        });
        let failure = Failure::from(&ClientError::Api(serde_json::from_value(problem.clone()).expect("a problem")));
        assert_eq!((failure.to_json(), failure.exit), (problem, 6));
        let local = Failure::usage("name one").with_hint("such as a");
        let expected = json!({
            "type": "about:blank", "title": TITLE, "detail": "name one", "hint": "such as a", "exit_code": 2,
        });
        assert_eq!(local.to_json(), expected);
    }

    #[test]
    fn several_problems_are_listed() {
        let errors = Manifest::from_toml("faas.toml", "nmae = 1\ntimeout = 0").expect_err("two problems");
        let failure = Failure::from(&errors);
        assert_eq!((failure.message.as_str(), failure.exit), ("faas.toml has 2 problems", 5));
        assert!(failure.details[0].starts_with("faas.toml:1:1: unknown key `nmae`"), "{failure:?}");
    }

    #[test]
    fn a_function_error_leads_to_its_line() {
        let error = FunctionError {
            kind: "ValueError".into(),
            message: "no \x1b[31mcolour".into(),
            stack: vec!["File \"main.py\", line 3, in handler\n    raise".into()],
            file: Some("main.py".into()),
            line: Some(3),
            ..FunctionError::default()
        };
        assert_eq!(headline(&error), "ValueError: no \x1b[31mcolour");
        let lines = function_lines(&error);
        assert_eq!(lines[0], "at main.py:3");
        assert_eq!(lines[2..], ["    File \"main.py\", line 3, in handler", "        raise"]);
    }
}
