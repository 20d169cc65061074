//! What the log of a run says about an attempt that failed.

use faas_types::{Fault, FunctionError, cut, limits};

/// The text of the line: the code, what happened, where, and the stack below it.
pub(crate) fn failure_line(fault: &Fault) -> String {
    let Some(error) = fault.function_error.as_deref() else { return format!("{} {}", fault.code, fault.message) };
    let raised = format!("{}: {}", error.kind, error.message);
    // Most faults of the platform about what was raised name it already.
    let told = if fault.message.contains(&raised) || fault.message.ends_with(&format!("raised {}", error.kind)) {
        String::new()
    } else {
        format!("{}: ", fault.message)
    };
    let mut line = format!("{} {told}{raised}{}", fault.code, place(error));
    let stack = error.stack.iter().chain(&error.snippet);
    for row in stack.flat_map(|entry| entry.lines()) {
        line.push_str("\n  ");
        line.push_str(row);
    }
    cut(line, limits::LOG_LINE_MAX)
}

fn place(error: &FunctionError) -> String {
    match (&error.file, error.line) {
        (Some(file), Some(line)) => format!(" ({file}:{line})"),
        (Some(file), None) => format!(" ({file})"),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use faas_types::Code;

    use super::*;

    fn error() -> FunctionError {
        FunctionError {
            kind: "KeyError".into(),
            message: "'API_KEY'".into(),
            stack: vec!["File \"main.py\", line 3, in handler\n    return os.environ['API_KEY']".into()],
            file: Some("main.py".into()),
            line: Some(3),
            ..FunctionError::default()
        }
    }

    #[test]
    fn an_exception_is_told_with_its_place_and_its_stack() {
        let line = failure_line(&crate::limit_classification::raised(error()));
        let wanted = "FN_004 KeyError: 'API_KEY' (main.py:3)\n  File \"main.py\", line 3, in handler\n      return os.environ['API_KEY']";
        assert_eq!(line, wanted);
    }

    #[test]
    fn what_the_platform_adds_stays() {
        let load = Fault::new(Code::RuntimeError, "the function did not load: KeyError: 'API_KEY'");
        let line = failure_line(&load.with_function_error(error()));
        assert!(line.starts_with("FN_004 KeyError: 'API_KEY' (main.py:3)\n"), "{line}");
        let full = Fault::new(Code::TmpFull, "the function has filled its /tmp").with_function_error(error());
        let line = failure_line(&full);
        assert!(line.contains(" the function has filled its /tmp: KeyError: 'API_KEY' (main.py:3)\n"), "{line}");
        assert_eq!(failure_line(&Fault::new(Code::TimeoutExceeded, "too slow")), "FN_002 too slow");
    }

    #[test]
    fn the_line_is_no_longer_than_others() {
        let long = FunctionError { stack: vec!["x".repeat(1_000); 100], ..error() };
        let line = failure_line(&crate::limit_classification::raised(long));
        assert!(line.len() <= limits::LOG_LINE_MAX + 10 && line.ends_with(" [cut]"));
    }
}
