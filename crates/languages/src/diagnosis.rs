//! Why a run probably failed, and what to do next: from what is recorded of it, by a table.
//!
//! The first rule that fits decides; an error that no rule fits is the function's own.

use faas_types::{CauseClass, Code, Diagnosis, FunctionError};

use crate::rules::{advice, rules};

/// Characters of a summary.
const SUMMARY_MAX: usize = 160;

/// What probably made a run fail that ended with `code`.
///
/// `message` is the run's own, `error` what its code raised.
#[must_use]
pub fn diagnose(code: Code, message: &str, error: Option<&FunctionError>) -> Diagnosis {
    let (class, next) = match error {
        Some(error) if !matches!(code, Code::TimeoutExceeded | Code::MemoryExceeded) => of_error(error),
        _ => of_code(code, message),
    };
    Diagnosis { class, summary: summary(message), advice: next }
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
    let found = rules().iter().find(|rule| rule.fits(&error.kind, &message, &causes, &error.stack));
    let class = found.map_or(CauseClass::UserError, |rule| rule.class);
    if let (CauseClass::NetworkDenied, Some(denial)) = (class, &error.denial) {
        return (class, format!("the network refused {denial}"));
    }
    let next = match (&error.hint, found) {
        (Some(hint), _) => hint.clone(),
        (None, Some(rule)) => rule.advice(&error.message),
        (None, None) => of_own(error),
    };
    // Libraries wrap what they met in errors of their own; whether this is the cause, the author can tell.
    let next = match (&error.denial, found) {
        (Some(denial), None) => format!("{next}; while it ran, the network refused {denial}"),
        _ => next,
    };
    (class, next)
}

/// The next step for an error that only the function's author can tell more of.
fn of_own(error: &FunctionError) -> String {
    match (&error.file, error.line) {
        (Some(file), Some(line)) => format!("look at line {line} of {file}, correct it and deploy again"),
        _ => advice(CauseClass::UserError).to_owned(),
    }
}

fn of_code(code: Code, message: &str) -> (CauseClass, String) {
    let (class, next) = match code {
        Code::TimeoutExceeded => (
            CauseClass::Timeout,
            "raise `timeout` in faas.toml, or make the work shorter; the log shows how far it came",
        ),
        Code::ColdStartTimeout => (
            CauseClass::Timeout,
            "the function was not ready in time: do less when it is imported, or do it at the first call",
        ),
        Code::MemoryExceeded => (CauseClass::Memory, advice(CauseClass::Memory)),
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
    (class, next.to_owned())
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
        assert_eq!(
            (found.class, found.advice.as_str()),
            (CauseClass::NetworkDenied, advice(CauseClass::NetworkDenied))
        );
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
