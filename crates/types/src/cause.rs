//! Why a run probably failed, and what to do next: from what is recorded of it, by a table.
//!
//! The texts are those of CPython, Node and the C library beneath both. The first rule that fits decides; what no rule
//! fits is an error of the function's own.

use serde::{Deserialize, Serialize};

use crate::{Code, FunctionError};

/// Characters of a summary.
const SUMMARY_MAX: usize = 160;

/// What probably made a run fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CauseClass {
    /// The function's own code.
    UserError,
    /// What the caller sent.
    BadInput,
    /// A package, library or runtime that is not there.
    DependencyMissing,
    /// It took too long.
    Timeout,
    /// It needed more memory than it has.
    Memory,
    /// It reached for a network that it does not have.
    NetworkDenied,
    /// It touched what the sandbox keeps from it.
    NotPermitted,
    /// Its disk is full.
    DiskFull,
    /// It started more processes or threads than it may.
    TooManyProcesses,
    /// Nothing was free to run it.
    Overload,
    /// Somebody ended it.
    Cancelled,
    /// The platform.
    Platform,
}

/// What is told of a failed run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What probably made it fail.
    pub class: CauseClass,
    /// What happened, in one line.
    pub summary: String,
    /// The next step to take.
    pub advice: String,
}

/// One line of the table of function errors.
struct Rule {
    /// Types of the error, one of which it must be of; none means any.
    kinds: &'static [&'static str],
    /// Texts in lower case, one of which must be in the message; none means any.
    texts: &'static [&'static str],
    class: CauseClass,
    advice: &'static str,
}

const NETWORK: &str = "without network = \"egress\" in faas.toml a function reaches no other machine; with it, the log of this run \
                       names what a rule has refused and the setting that opens it; where it names nothing, the other \
                       machine did not answer or has no such name; 127.0.0.1 is the sandbox itself";
const TMP: &str = "a function's files are read-only: write below /tmp";
const MEMORY: &str = "raise `memory` in faas.toml, or hold less at once";

const RULES: &[Rule] = &[
    rule(
        &["ModuleNotFoundError"],
        &[],
        CauseClass::DependencyMissing,
        "put the package beside the code and deploy again",
    ),
    rule(
        &[],
        &["cannot find module", "cannot find package"],
        CauseClass::DependencyMissing,
        "install the package beside the code (npm install) and deploy again with node_modules",
    ),
    rule(
        &[],
        &["cannot open shared object file", "err_dlopen_failed", "invalid elf header", "undefined symbol"],
        CauseClass::DependencyMissing,
        "the package needs a system library that the sandbox lacks: take a build that brings it along (a wheel, a prebuilt binary)",
    ),
    rule(
        &["JSONDecodeError"],
        &[],
        CauseClass::BadInput,
        "what was parsed is not JSON: look at the input of this run, or check it before parsing",
    ),
    rule(
        &["SyntaxError"],
        &["in json", "is not valid json", "unexpected end of json input", "after json"],
        CauseClass::BadInput,
        "what was parsed is not JSON: look at the input of this run, or check it before parsing",
    ),
    rule(
        &["SyntaxError", "IndentationError", "TabError"],
        &[],
        CauseClass::UserError,
        "correct the line that is shown and deploy again",
    ),
    rule(&["MemoryError"], &[], CauseClass::Memory, MEMORY),
    rule(
        &[],
        &[
            "cannot allocate memory",
            "enomem",
            "array buffer allocation failed",
            "out of memory",
            "invalid array buffer length",
        ],
        CauseClass::Memory,
        MEMORY,
    ),
    rule(
        &[],
        &["no space left on device", "enospc", "disk quota exceeded", "edquot", "database or disk is full"],
        CauseClass::DiskFull,
        "/tmp is full: remove what is no longer needed, or keep less there; every call of an instance shares it",
    ),
    rule(
        &[],
        &["can't start new thread", "resource temporarily unavailable", "eagain", "err_worker_init_failed"],
        CauseClass::TooManyProcesses,
        "the function has as many processes and threads as it may: wait for those that it starts, or start fewer",
    ),
    rule(
        &[
            "gaierror",
            "ConnectionRefusedError",
            "ClientConnectorError",
            "ClientConnectorDNSError",
            "NewConnectionError",
        ],
        &[],
        CauseClass::NetworkDenied,
        NETWORK,
    ),
    rule(
        &[],
        &[
            "network is unreachable",
            "enetunreach",
            "connection refused",
            "econnrefused",
            "name resolution",
            "name or service not known",
            "failed to resolve",
            "nodename nor servname",
            "eai_again",
            "enotfound",
            "getaddrinfo",
            "no route to host",
            "ehostunreach",
            "fetch failed",
        ],
        CauseClass::NetworkDenied,
        NETWORK,
    ),
    rule(&[], &["read-only file system", "erofs"], CauseClass::NotPermitted, TMP),
    rule(&[], &["permission denied", "eacces"], CauseClass::NotPermitted, TMP),
    rule(
        &["PermissionError"],
        &[],
        CauseClass::NotPermitted,
        "the sandbox does not let functions do this; docs/guides/security.md lists what they may",
    ),
    rule(
        &[],
        &["operation not permitted", "eperm", "function not implemented", "enosys"],
        CauseClass::NotPermitted,
        "the sandbox does not let functions do this; docs/guides/security.md lists what they may",
    ),
    rule(
        &[],
        &["too many open files", "emfile"],
        CauseClass::UserError,
        "close files and connections when they are done with; an instance may have 1024 open",
    ),
    rule(
        &["RecursionError"],
        &[],
        CauseClass::UserError,
        "the code calls itself without end: look at the stack for the call that repeats",
    ),
    rule(
        &["RangeError"],
        &["maximum call stack"],
        CauseClass::UserError,
        "the code calls itself without end: look at the stack for the call that repeats",
    ),
];

const fn rule(
    kinds: &'static [&'static str],
    texts: &'static [&'static str],
    class: CauseClass,
    advice: &'static str,
) -> Rule {
    Rule { kinds, texts, class, advice }
}

/// What probably made a run fail that ended with `code`.
///
/// `message` is the run's own, `error` what its code raised.
#[must_use]
pub fn diagnose(code: Code, message: &str, error: Option<&FunctionError>) -> Diagnosis {
    let (class, advice) = match error {
        Some(error) if !matches!(code, Code::TimeoutExceeded | Code::MemoryExceeded) => of_error(error),
        _ => of_code(code, message),
    };
    Diagnosis { class, summary: summary(message), advice }
}

/// Whether an error looks like that of a network that was not there.
#[must_use]
pub fn looks_like_network(error: &FunctionError) -> bool {
    of_error(error).0 == CauseClass::NetworkDenied
}

fn of_error(error: &FunctionError) -> (CauseClass, String) {
    let message = error.message.to_lowercase();
    // A cause that was wrapped stands in the stack, as `gaierror: [Errno -3] …` before the error itself.
    let causes: Vec<String> = error.stack.iter().filter(|entry| !is_frame(entry)).map(|c| c.to_lowercase()).collect();
    let found = RULES.iter().find(|rule| rule.fits(&error.kind, &message, &causes));
    let class = found.map_or(CauseClass::UserError, |rule| rule.class);
    if let (CauseClass::NetworkDenied, Some(denial)) = (class, &error.denial) {
        return (class, format!("the network refused {denial}"));
    }
    let advice = match (&error.hint, found) {
        (Some(hint), _) => hint.clone(),
        (None, Some(rule)) => rule.advice.to_owned(),
        (None, None) => of_own(error),
    };
    // Libraries wrap what they met in errors of their own; whether this is the cause, the author can tell.
    let advice = match (&error.denial, found) {
        (Some(denial), None) => format!("{advice}; while it ran, the network refused {denial}"),
        _ => advice,
    };
    (class, advice)
}

/// The next step for an error that only the function's author can tell more of.
fn of_own(error: &FunctionError) -> String {
    let variable = error.message.trim_matches(|c| c == '\'' || c == '"');
    let asks_environment = error.stack.iter().any(|frame| frame.contains("os.environ[") || frame.contains("os.py"));
    if error.kind == "KeyError" && asks_environment {
        return format!("the variable is not set: faas vars set FUNCTION {variable}=VALUE");
    }
    match (&error.file, error.line) {
        (Some(file), Some(line)) => format!("look at line {line} of {file}, correct it and deploy again"),
        _ => "look at the stack and at the log of this run: faas runs logs RUN".to_owned(),
    }
}

fn of_code(code: Code, message: &str) -> (CauseClass, String) {
    let (class, advice) = match code {
        Code::TimeoutExceeded => (
            CauseClass::Timeout,
            "raise `timeout` in faas.toml, or make the work shorter; the log shows how far it came",
        ),
        Code::ColdStartTimeout => (
            CauseClass::Timeout,
            "the function was not ready in time: do less when it is imported, or do it at the first call",
        ),
        Code::MemoryExceeded => (CauseClass::Memory, MEMORY),
        Code::PayloadTooLarge if message.contains("reply") => {
            (CauseClass::UserError, "return less, or store the result and return where it is")
        }
        Code::BadRequest | Code::PayloadTooLarge | Code::UnsupportedMediaType => {
            (CauseClass::BadInput, "correct what is sent: the message names the part that does not fit")
        }
        Code::Overloaded | Code::RateLimited => {
            (CauseClass::Overload, "try again later, or raise `max` under [scaling] in faas.toml")
        }
        Code::RuntimeMissing => {
            (CauseClass::DependencyMissing, "install the runtime on the server: `faas status` lists those it has")
        }
        Code::Cancelled => (CauseClass::Cancelled, "nothing: the caller went away, or somebody cancelled the run"),
        Code::RuntimeError | Code::DeploymentFailed | Code::InvalidConfiguration => {
            (CauseClass::UserError, "look at the log of this run: faas runs logs RUN")
        }
        _ => (CauseClass::Platform, "this is not the function's fault: see the server's log and `faas explain`"),
    };
    (class, advice.to_owned())
}

/// Frames are written by the shims as `File "…", line …` and `at …`.
fn is_frame(entry: &str) -> bool {
    entry.starts_with("File \"") || entry.starts_with("at ") || entry.starts_with("... ")
}

fn summary(message: &str) -> String {
    let line = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no message");
    if line.chars().count() <= SUMMARY_MAX {
        return line.to_owned();
    }
    line.chars().take(SUMMARY_MAX - 1).chain(['…']).collect()
}

// === impl CauseClass ===

impl CauseClass {
    /// The class in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserError => "user error",
            Self::BadInput => "bad input",
            Self::DependencyMissing => "dependency missing",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::NetworkDenied => "network denied",
            Self::NotPermitted => "not permitted",
            Self::DiskFull => "disk full",
            Self::TooManyProcesses => "too many processes",
            Self::Overload => "overload",
            Self::Cancelled => "cancelled",
            Self::Platform => "platform",
        }
    }
}

// === impl Rule ===

impl Rule {
    fn fits(&self, kind: &str, message: &str, causes: &[String]) -> bool {
        let in_message = self.texts.is_empty() || self.texts.iter().any(|text| message.contains(text));
        if (self.kinds.is_empty() || self.kinds.contains(&kind)) && in_message {
            return true;
        }
        // Of a cause only what is certain: its type where the rule names types, else its text.
        causes.iter().any(|cause| match self.kinds {
            [] => self.texts.iter().any(|text| cause.contains(text)),
            kinds => {
                let is_kind = kinds.iter().any(|kind| cause.starts_with(&format!("{}:", kind.to_lowercase())));
                is_kind && (self.texts.is_empty() || self.texts.iter().any(|text| cause.contains(text)))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(kind: &str, message: &str) -> CauseClass {
        let error = FunctionError { kind: kind.into(), message: message.into(), ..FunctionError::default() };
        diagnose(Code::RuntimeError, &format!("{kind}: {message}"), Some(&error)).class
    }

    #[test]
    fn texts_of_both_runtimes_find_their_class() {
        use CauseClass::*;
        for (kind, message, wanted) in [
            ("ModuleNotFoundError", "No module named 'requests'", DependencyMissing),
            ("ImportError", "libGL.so.1: cannot open shared object file: No such file or directory", DependencyMissing),
            ("Error", "Cannot find module 'left-pad'\nRequire stack:\n- /function/index.js", DependencyMissing),
            ("Error", "Cannot find package 'left-pad' imported from /function/index.mjs", DependencyMissing),
            ("MemoryError", "", Memory),
            ("OSError", "[Errno 12] Cannot allocate memory", Memory),
            ("RangeError", "Array buffer allocation failed", Memory),
            ("OSError", "[Errno 101] Network is unreachable", NetworkDenied),
            ("gaierror", "[Errno -3] Temporary failure in name resolution", NetworkDenied),
            ("URLError", "<urlopen error [Errno -3] Temporary failure in name resolution>", NetworkDenied),
            ("ConnectionRefusedError", "[Errno 111] Connection refused", NetworkDenied),
            ("Error", "getaddrinfo EAI_AGAIN example.com", NetworkDenied),
            ("Error", "connect ENETUNREACH 1.1.1.1:80 - Local (0.0.0.0:0)", NetworkDenied),
            ("TypeError", "fetch failed", NetworkDenied),
            ("OSError", "[Errno 30] Read-only file system: '/function/x'", NotPermitted),
            ("PermissionError", "[Errno 13] Permission denied: '/etc/x'", NotPermitted),
            ("Error", "EROFS: read-only file system, open '/function/x'", NotPermitted),
            ("PermissionError", "[Errno 1] Operation not permitted", NotPermitted),
            ("OSError", "[Errno 28] No space left on device", DiskFull),
            ("Error", "ENOSPC: no space left on device, write", DiskFull),
            ("RuntimeError", "can't start new thread", TooManyProcesses),
            ("BlockingIOError", "[Errno 11] Resource temporarily unavailable", TooManyProcesses),
            ("Error", "spawn /bin/true EAGAIN", TooManyProcesses),
            ("JSONDecodeError", "Expecting value: line 1 column 1 (char 0)", BadInput),
            ("SyntaxError", "Unexpected token 'h', \"hello\" is not valid JSON", BadInput),
            ("SyntaxError", "Unexpected token h in JSON at position 0", BadInput),
            ("SyntaxError", "Unexpected end of JSON input", BadInput),
            ("SyntaxError", "invalid syntax", UserError),
            ("IndentationError", "unexpected indent", UserError),
            ("ZeroDivisionError", "division by zero", UserError),
            ("TypeError", "Cannot read properties of undefined (reading 'x')", UserError),
            ("RecursionError", "maximum recursion depth exceeded", UserError),
        ] {
            assert_eq!(class(kind, message), wanted, "{kind}: {message}");
        }
    }

    #[test]
    fn a_wrapped_cause_tells_more_than_what_wraps_it() {
        let error = FunctionError {
            kind: "ConnectError".into(),
            message: "all attempts failed".into(),
            stack: vec!["File \"main.py\", line 3, in handler".into(), "gaierror: [Errno -3] try again".into()],
            ..FunctionError::default()
        };
        let found = diagnose(Code::RuntimeError, "ConnectError: all attempts failed", Some(&error));
        assert_eq!((found.class, found.advice.as_str()), (CauseClass::NetworkDenied, NETWORK));
    }

    #[test]
    fn a_refused_connection_is_named_with_the_setting_that_allows_it() {
        let denial = "tcp to db.example:5432: no rule allows it; to allow it: add \"db.example:5432\" to egress.allow";
        let advice = |kind: &str, message: &str| {
            let error = FunctionError {
                kind: kind.into(),
                message: message.into(),
                denial: Some(denial.to_owned()),
                ..FunctionError::default()
            };
            let found = diagnose(Code::RuntimeError, message, Some(&error));
            (found.class, found.advice)
        };
        let (class, said) = advice("OSError", "[Errno 113] No route to host");
        assert_eq!((class, said), (CauseClass::NetworkDenied, format!("the network refused {denial}")));
        let (class, said) = advice("APIConnectionError", "could not reach the service");
        assert!(class == CauseClass::UserError && said.ends_with(denial) && said.starts_with("look at"), "{said}");
        let (class, said) = advice("MemoryError", "");
        assert!(class == CauseClass::Memory && !said.contains("db.example"), "{said}");
    }

    #[test]
    fn words_in_a_frame_decide_nothing() {
        let error = FunctionError {
            kind: "ValueError".into(),
            message: "no".into(),
            stack: vec!["File \"main.py\", line 3, in handler\n    raise ValueError('no')  # out of memory".into()],
            ..FunctionError::default()
        };
        assert_eq!(diagnose(Code::RuntimeError, "", Some(&error)).class, CauseClass::UserError);
    }

    #[test]
    fn the_shims_hint_wins_and_codes_speak_for_themselves() {
        let hint = "vendor it beside the code: pip install --target vendor PyYAML";
        let kind = "ModuleNotFoundError".into();
        let error = FunctionError { kind, hint: Some(hint.to_owned()), ..FunctionError::default() };
        assert_eq!(diagnose(Code::DeploymentFailed, "", Some(&error)).advice, hint);
        for (code, wanted) in [
            (Code::TimeoutExceeded, CauseClass::Timeout),
            (Code::MemoryExceeded, CauseClass::Memory),
            (Code::BadRequest, CauseClass::BadInput),
            (Code::Overloaded, CauseClass::Overload),
            (Code::Cancelled, CauseClass::Cancelled),
            (Code::Internal, CauseClass::Platform),
            (Code::StorageFull, CauseClass::Platform),
        ] {
            let found = diagnose(code, "it broke", None);
            assert_eq!(found.class, wanted, "{code}");
            assert!(!found.advice.is_empty(), "{code}");
        }
    }

    #[test]
    fn an_unset_variable_is_named() {
        let error = FunctionError {
            kind: "KeyError".into(),
            message: "'API_KEY'".into(),
            stack: vec!["File \"main.py\", line 3, in handler\n    key = os.environ['API_KEY']".into()],
            ..FunctionError::default()
        };
        let found = diagnose(Code::RuntimeError, "KeyError: 'API_KEY'", Some(&error));
        assert!(found.advice.contains("faas vars set FUNCTION API_KEY=VALUE"), "{}", found.advice);
    }

    #[test]
    fn a_summary_is_one_line() {
        let long = format!("\n  first {}\nsecond", "ä".repeat(500));
        let found = diagnose(Code::RuntimeError, &long, None).summary;
        assert!(
            found.starts_with("first ä") && found.ends_with('…') && found.chars().count() == SUMMARY_MAX,
            "{found}"
        );
    }
}
