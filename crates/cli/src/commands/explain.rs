//! `faas explain`

use clap::Args;
use faas_config::error_page;
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_types::Code;
use serde::Serialize;

/// Explain an error code
///
/// Prints what the code means, what causes it and what to do. Without a code, lists all.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExplainArgs {
    /// The code, such as FN_003 or just 3
    code: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  faas explain FN_003
  faas explain 4
  faas explain";

#[derive(Serialize)]
struct Entry {
    code: Code,
    title: &'static str,
    http_status: u16,
    exit_code: u8,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'static str>,
}

#[derive(Serialize)]
struct Codes {
    codes: Vec<Entry>,
}

pub(crate) fn run(args: &ExplainArgs, session: &Session) -> anyhow::Result<()> {
    let Some(text) = &args.code else {
        let codes: Vec<_> = Code::ALL.iter().map(|code| entry(*code, false)).collect();
        let list = Codes { codes };
        return session.out.list(&list, &list.codes, table);
    };
    let code: Code = text
        .parse()
        .map_err(|message: String| Failure::usage(message).with_hint("list all codes with `faas explain`"))?;
    match session.out.format {
        Format::Table => session.out.bytes(error_page(code).as_bytes()),
        Format::Json | Format::Ndjson => session.out.json(&entry(code, true)),
    }
}

fn entry(code: Code, with_page: bool) -> Entry {
    Entry {
        code,
        title: code.title(),
        http_status: code.http_status(),
        exit_code: code.exit_code(),
        retryable: code.is_retryable(),
        page: with_page.then(|| error_page(code)),
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
