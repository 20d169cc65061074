//! `faas runs`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use faas_client::rest::{HeaderView, RunInputView, RunView};
use faas_client::{ListRuns, LogSource};
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text::{self, moment};
use faas_types::{RunState, Span, TriggerKind};

use crate::commands::logs::{self, LineArgs};
use crate::commands::rows::{self, RowArgs};
use crate::commands::run_output::{any_cold, print_stack, run_table};
use crate::commands::watch::{self, CancelArgs, ReplayArgs, WatchArgs};
use crate::timeline;

/// List, watch, cancel and replay runs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    command: Option<RunsCommand>,
    #[command(flatten)]
    list: ListArgs,
}

const EXAMPLES: &str = "\
Examples:
  faas runs list --state failed
  faas runs get run_01JD2Z7Y5T0000000000000000";

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// List runs, newest first
    List(ListArgs),
    /// Show a run with its attempts and its error
    Get(GetArgs),
    /// Wait for a run's end and show it
    Watch(WatchArgs),
    /// Print or follow the log of a run
    Logs(RunLogsArgs),
    /// Run an ended run again, with the same or another body
    Replay(ReplayArgs),
    /// End runs that have not ended
    Cancel(CancelArgs),
}

#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct ListArgs {
    /// Runs of this function
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// queued, running, succeeded, failed, retried or cancelled
    #[arg(long, value_name = "STATE")]
    state: Option<RunState>,
    /// What created them: http, api, ...
    #[arg(long, value_name = "KIND")]
    trigger: Option<TriggerKind>,
    /// Runs that failed with this code, such as FN_002
    #[arg(long, visible_alias = "error", value_name = "CODE")]
    code: Option<faas_types::Code>,
    /// Runs that had to start an instance, or with `--cold=false` those that had not
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    cold: Option<bool>,
    /// Runs that found an instance
    #[arg(long, conflicts_with = "cold")]
    warm: bool,
    /// Ended runs that took at least so long: 250ms, 2s
    #[arg(long, value_name = "SPAN")]
    min_duration: Option<Span>,
    /// Ended runs that took at most so long
    #[arg(long, value_name = "SPAN")]
    max_duration: Option<Span>,
    /// Runs of this version
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    /// Runs since then: 10m, 2h, 7d or 2026-11-21T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<String>,
    /// Runs before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
    #[command(flatten)]
    rows: RowArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas runs get run_01JD2Z7Y5T0000000000000000\n  faas runs get run_01JD2Z7Y5T0000000000000000 --input"
)]
pub(crate) struct GetArgs {
    /// The run's id
    id: String,
    /// Show what the run was called with instead
    #[arg(long)]
    input: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas runs logs run_01JD2Z7Y5T0000000000000000 -f")]
pub(crate) struct RunLogsArgs {
    /// The run's id
    id: String,
    #[command(flatten)]
    lines: LineArgs,
}

/// Runs that are listed where no number is given.
const ROWS_DEFAULT: usize = 20;
/// What the columns of a listing take besides the function's, at the most.
const OTHER_COLUMNS: usize = 85;

const LIST_EXAMPLES: &str = "\
Examples:
  faas runs list
  faas runs list --function hello --state failed --since 1h
  faas runs list --since 24h --min-duration 2s --warm
  faas runs list --code FN_002 -n 100 -o ndjson

Runs that do not match are passed over on the way back in time; --since keeps that way short.";

pub(crate) async fn run(args: RunsArgs, session: &Session) -> anyhow::Result<ExitCode> {
    match args.command.unwrap_or(RunsCommand::List(args.list)) {
        RunsCommand::List(args) => list(args, session).await?,
        RunsCommand::Get(args) => get(args, session).await?,
        RunsCommand::Watch(args) => return watch::watch(args, session).await,
        RunsCommand::Logs(args) => logs::print(session, LogSource::Run(args.id), args.lines, None).await?,
        RunsCommand::Replay(args) => return watch::replay(args, session).await,
        RunsCommand::Cancel(args) => watch::cancel(args, session).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn get(args: GetArgs, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    let run = client.run(&args.id).await?;
    if args.input {
        let input = client.run_input(&args.id).await?;
        return session.out.item(&input, |input| {
            let mut table = Table::of_properties();
            input_rows(&mut table, input);
            table
        });
    }
    session.out.item(&run, run_table)?;
    print_timeline(&run, session)?;
    print_stack(&run, session)
}

/// What a run was called with.
pub(crate) fn input_rows(table: &mut Table, input: &RunInputView) {
    let query = if input.query.is_empty() { String::new() } else { format!("?{}", input.query) };
    table.property("request", text::visible(&format!("{} {}{query}", input.method, input.path)));
    for HeaderView { name, value } in &input.headers {
        table.property("header", text::visible(&format!("{name}: {value}")));
    }
    let body =
        input.json.as_ref().map(ToString::to_string).or_else(|| input.text.clone()).or_else(|| input.base64.clone());
    table.maybe("body", body.map(|body| text::visible(&body)));
}

async fn list(args: ListArgs, session: &Session) -> anyhow::Result<()> {
    let query = ListRuns {
        function: args.function,
        state: args.state,
        code: args.code.map(|code| code.to_string()),
        cold: args.cold.or(args.warm.then_some(false)),
        version: args.version,
        trigger: args.trigger,
        min_duration: args.min_duration.map(|span| span.to_string()),
        max_duration: args.max_duration.map(|span| span.to_string()),
        since: args.since,
        until: args.until,
    };
    let list = session.client()?.runs(&query, &args.rows.rows_or(ROWS_DEFAULT)).await?;
    let width = session.out.width();
    let empty = "no runs match; each call makes one: faas invoke NAME";
    rows::print(&list, &session.out, empty, |runs| list_table(runs, width))
}

fn list_table(runs: &[RunView], width: Option<u16>) -> Table {
    let mut table = Table::with_headings(["ID", "FUNCTION", "STATE", "TRIGGER", "WHEN", "DURATION", "COLD", "ERROR"]);
    let most = width.map_or(usize::MAX, |width| usize::from(width).saturating_sub(OTHER_COLUMNS).max(8));
    for run in runs {
        table.row([
            run.id.clone(),
            selector(&run.function, run.version, most),
            run.state.as_str().to_owned(),
            run.trigger.as_str().to_owned(),
            text::when(&run.created_at),
            run.duration_ms.map(text::millis).unwrap_or_default(),
            if any_cold(run) { "cold".to_owned() } else { String::new() },
            run.error.as_ref().map(|error| error.code.clone()).unwrap_or_default(),
        ]);
    }
    table
}

/// `hello:3`, the name cut so that it fits.
fn selector(name: &str, version: u32, most: usize) -> String {
    let version = format!(":{version}");
    let room = most.saturating_sub(version.len());
    if name.chars().count() <= room {
        return format!("{name}{version}");
    }
    let start: String = name.chars().take(room.saturating_sub(1)).collect();
    format!("{start}…{version}")
}

fn print_timeline(run: &RunView, session: &Session) -> anyhow::Result<()> {
    let lines = timeline::lines(&run.attempts);
    if lines.is_empty() || session.out.format != faas_terminal::global_args::Format::Table {
        return Ok(());
    }
    session.out.line("\ntimeline:")?;
    lines.iter().try_for_each(|line| session.out.line(format_args!("  {}", line.trim_end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_where_they_do_not_fit() {
        assert_eq!(selector("hello", 3, usize::MAX), "hello:3");
        assert_eq!(selector("a-very-long-name", 12, 12), "a-very-l…:12");
        assert_eq!(selector("hello", 3, 7), "hello:3");
    }
}
