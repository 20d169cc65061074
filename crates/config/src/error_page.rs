//! The pages under `docs/errors/`, inside the binary. The match has no wildcard: a code without a page does not compile.

use faas_types::{Code, Reason};

macro_rules! page {
    ($name:literal) => {
        include_str!(concat!("../../../docs/errors/", $name, ".md"))
    };
}

/// The page of an error code, in Markdown: what it means, its causes and what to do.
#[must_use]
pub const fn error_page(code: Code) -> &'static str {
    match code {
        Code::FunctionNotFound => page!("FN_001"),
        Code::TimeoutExceeded => page!("FN_002"),
        Code::MemoryExceeded => page!("FN_003"),
        Code::RuntimeError => page!("FN_004"),
        Code::DeploymentFailed => page!("FN_005"),
        Code::InvalidConfiguration => page!("FN_006"),
        Code::RateLimited => page!("FN_007"),
        Code::ColdStartTimeout => page!("FN_008"),
        Code::PermissionDenied => page!("FN_009"),
        Code::Unauthenticated => page!("FN_010"),
        Code::PayloadTooLarge => page!("FN_011"),
        Code::BadRequest => page!("FN_012"),
        Code::NotFound => page!("FN_013"),
        Code::Conflict => page!("FN_014"),
        Code::Overloaded => page!("FN_015"),
        Code::Unavailable => page!("FN_016"),
        Code::IsolationUnavailable => page!("FN_017"),
        Code::StorageFull => page!("FN_018"),
        Code::RuntimeMissing => page!("FN_019"),
        Code::MethodNotAllowed => page!("FN_020"),
        Code::NotImplemented => page!("FN_021"),
        Code::Internal => page!("FN_022"),
        Code::Cancelled => page!("FN_023"),
        Code::UnsupportedMediaType => page!("FN_024"),
        Code::ProcessLimit => page!("FN_025"),
        Code::TmpFull => page!("FN_026"),
        Code::LogLimit => page!("FN_027"),
        Code::UploadRefused => page!("FN_028"),
        Code::SecretUnusable => page!("FN_029"),
        Code::KeyReused => page!("FN_030"),
        Code::PreconditionFailed => page!("FN_031"),
    }
}

/// The reasons of all errors, in Markdown.
pub const REASONS_PAGE: &str = include_str!("../../../docs/errors/reasons.md");

/// The page of a reason, in Markdown: what it means, then the page of its code.
#[must_use]
pub fn reason_page(reason: Reason) -> String {
    let (meaning, code) = (reason.meaning(), reason.code());
    let next = reason.hint().map(|hint| format!("What to do next: {hint}.\n\n")).unwrap_or_default();
    format!("# {reason}\n\n{meaning}\n\n{next}It is a reason of {code}.\n\n#{}", error_page(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_reasons_lists_all() {
        let row = |reason: &Reason| {
            let code = reason.code();
            format!("| `{reason}` | [{code}]({code}.md) | {} |\n", reason.meaning())
        };
        let rows: String = Reason::ALL.iter().map(row).collect();
        let head = "| reason | code | what it means |\n|---|---|---|\n";
        let expected = format!("{head}{rows}");
        let found = REASONS_PAGE.find(head).map(|at| &REASONS_PAGE[at..]);
        assert_eq!(found, Some(&*expected), "docs/errors/reasons.md ends with this table:\n{expected}");
    }

    #[test]
    fn every_page_opens_with_what_the_catalogue_says() {
        for code in Code::ALL {
            let page = error_page(*code);
            let mut lines = page.lines();
            let title = format!("# {code}: {}", code.title());
            assert_eq!(lines.next(), Some(&*title), "first line of {code}");
            let retry = if code.is_retryable() { "yes" } else { "no" };
            let facts =
                format!("HTTP status {} · CLI exit code {} · retryable {retry}", code.http_status(), code.exit_code());
            assert_eq!((lines.next(), lines.next()), (Some(""), Some(&*facts)), "header of {code}");
            assert!(page.lines().count() <= 40, "{code} is longer than 40 lines");
            for part in ["## Typical causes", "## What to do", "## Example"] {
                assert!(page.contains(part), "{code} lacks `{part}`");
            }
        }
    }
}
