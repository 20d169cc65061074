//! `faas versions`

use clap::{Args, Subcommand};
use faas_client::rest::{VersionDiff, VersionView};
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;

use crate::commands::rows::{self, RowArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum VersionsCommand {
    /// List a function's versions, newest first
    List(ListArgs),
    /// Show the differences of two versions: files and settings
    Diff(DiffArgs),
    /// Print the build log of a version
    #[command(alias = "build-log")]
    Log(LogArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas versions list hello")]
pub(crate) struct ListArgs {
    /// The function
    name: String,
    #[command(flatten)]
    rows: RowArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas versions diff hello 3 5\n  faas versions diff hello 3 5 -o json")]
pub(crate) struct DiffArgs {
    /// The function
    name: String,
    /// The first version
    from: u32,
    /// The second one
    to: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas versions log hello\n  faas versions log hello 3 -o json")]
pub(crate) struct LogArgs {
    /// The function
    name: String,
    /// The version [default: the one that serves]
    version: Option<u32>,
}

pub(crate) async fn run(command: VersionsCommand, session: &Session) -> anyhow::Result<()> {
    match command {
        VersionsCommand::List(args) => list(&args, session).await,
        VersionsCommand::Diff(args) => diff(&args, session).await,
        VersionsCommand::Log(args) => log(&args, session).await,
    }
}

pub(crate) async fn list(args: &ListArgs, session: &Session) -> anyhow::Result<()> {
    let list = session.client()?.versions(&args.name, &args.rows.rows()).await?;
    rows::print(&list, &session.out, "no versions yet; a deployment makes one", versions_table)
}

pub(crate) async fn diff(args: &DiffArgs, session: &Session) -> anyhow::Result<()> {
    let diff = session.client()?.diff(&args.name, args.from, args.to).await?;
    if diff.files.is_empty() && diff.settings.is_empty() {
        session.out.aside("both versions have the same files and settings");
    }
    session.out.item(&diff, diff_table)
}

pub(crate) async fn log(args: &LogArgs, session: &Session) -> anyhow::Result<()> {
    let version = args.version.map_or_else(|| "live".to_owned(), |number| number.to_string());
    let log = session.client()?.build_log(&args.name, &version).await?;
    if log.lines.is_empty() {
        session.out.aside("the build log is empty");
    }
    match session.out.format {
        Format::Table => log.lines.iter().try_for_each(|line| session.out.line(text::visible(&line.message)))?,
        Format::Json | Format::Ndjson => session.out.list(&log, &log.lines, |_| Table::of_properties())?,
    }
    if log.dropped > 0 {
        session.out.note(format_args!("{} more lines were not kept", log.dropped));
    }
    Ok(())
}

fn versions_table(versions: &[VersionView]) -> Table {
    let mut table =
        Table::with_headings(["VERSION", "ALIASES", "CREATED", "BY", "RUNTIME", "FILES", "SIZE", "DIGEST", "NOTE"]);
    for version in versions {
        table.row([
            version.number.to_string(),
            version.aliases.join(" "),
            text::when(&version.created_at),
            version.actor.as_ref().map(|by| by.name.clone()).unwrap_or_default(),
            version.settings.runtime_exact.clone(),
            version.files.to_string(),
            text::bytes(version.size),
            version.digest.chars().take(12).collect(),
            version.note.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn diff_table(diff: &VersionDiff) -> Table {
    let mut table = Table::with_headings(["CHANGE", "WHAT", "FROM", "TO"]);
    let size = |size: Option<u64>| size.map_or_else(|| "-".to_owned(), text::bytes);
    for file in &diff.files {
        table.row([file.change.clone(), text::visible(&file.path), size(file.size_from), size(file.size_to)]);
    }
    let value =
        |value: &serde_json::Value| if value.is_null() { "-".to_owned() } else { text::visible(&value.to_string()) };
    for setting in &diff.settings {
        table.row(["setting".to_owned(), text::visible(&setting.key), value(&setting.from), value(&setting.to)]);
    }
    table
}
