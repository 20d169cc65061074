//! `faas explain`

use clap::Args;
use faas_config::{error_page, reason_page};
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_types::{Code, Reason};
use serde::Serialize;

/// Explain an error code
///
/// Prints what it means, what causes it and what to do. Without a code, lists all.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExplainArgs {
    /// The code, such as FN_003 or just 3, or the reason, such as run_not_found
    code: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  faas explain FN_003
  faas explain run_not_found
  faas explain";

#[derive(Serialize)]
struct Entry {
    code: Code,
    title: &'static str,
    http_status: u16,
    exit_code: u8,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

#[derive(Serialize)]
struct Codes {
    codes: Vec<Entry>,
}

pub(crate) fn run(args: &ExplainArgs, session: &Session) -> anyhow::Result<()> {
    let Some(text) = &args.code else {
        let codes: Vec<_> = Code::ALL.iter().map(|code| entry(*code)).collect();
        let list = Codes { codes };
        return session.out.list(&list, &list.codes, table);
    };
    let reason: Option<Reason> = text.parse().ok();
    let code = match reason {
        Some(reason) => reason.code(),
        None => text
            .parse()
            .map_err(|message: String| Failure::usage(message).with_hint("list all codes with `faas explain`"))?,
    };
    let page = reason.map_or_else(|| error_page(code).to_owned(), reason_page);
    match session.out.format {
        Format::Table => session.out.bytes(page.as_bytes()),
        Format::Json | Format::Ndjson => session.out.json(&Entry { page: Some(page), ..entry(code) }),
    }
}

fn entry(code: Code) -> Entry {
    Entry {
        code,
        title: code.title(),
        http_status: code.http_status(),
        exit_code: code.exit_code(),
        retryable: code.is_retryable(),
        page: None,
    }
}

fn table(entries: &[Entry]) -> Table {
    let mut table = Table::with_headings(["CODE", "TITLE", "HTTP", "EXIT"]);
    for entry in entries {
        let title = entry.title.to_owned();
        table.row([entry.code.to_string(), title, entry.http_status.to_string(), entry.exit_code.to_string()]);
    }
    table
}
