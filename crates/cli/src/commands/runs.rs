//! `faas runs`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use faas_client::rest::{RunInputView, RunView};
use faas_client::{LogSource, RunQuery};
use faas_types::{RunState, limits};

use crate::commands::logs::{self, LineArgs};
use crate::commands::watch::{self, CancelArgs, ReplayArgs, WatchArgs};
use crate::session::Session;
use crate::table::Table;
use crate::text::{self, moment};
use crate::timeline;

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
    /// Runs that failed with this code, such as FN_002
    #[arg(long, value_name = "CODE")]
    code: Option<faas_types::Code>,
    /// Runs that had to start an instance, or with `--cold=false` those that had not
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    cold: Option<bool>,
    /// Runs of this version
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    /// Runs since then: 10m, 2h or 2026-11-21T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<String>,
    /// Runs before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
    /// How many
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::PAGE_MAX)))]
    limit: u32,
    /// Where the page before ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
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

const LIST_EXAMPLES: &str = "\
Examples:
  faas runs list
  faas runs list --function hello --state failed --since 1h
  faas runs list --code FN_002 -n 100 -o ndjson";

pub(crate) async fn run(command: RunsCommand, session: &Session) -> anyhow::Result<ExitCode> {
    match command {
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
    for (name, value) in &input.headers {
        table.property("header", text::visible(&format!("{name}: {value}")));
    }
    let body =
        input.json.as_ref().map(ToString::to_string).or_else(|| input.text.clone()).or_else(|| input.base64.clone());
    table.maybe("body", body.map(|body| text::visible(&body)));
}

async fn list(args: ListArgs, session: &Session) -> anyhow::Result<()> {
    let query = RunQuery {
        function: args.function,
        state: args.state,
        code: args.code.map(|code| code.to_string()),
        cold: args.cold,
        version: args.version,
        since: args.since,
        until: args.until,
        cursor: args.cursor,
        limit: Some(args.limit),
    };
    let page = session.client()?.runs(&query).await?;
    if page.runs.is_empty() {
        session.out.aside("no such runs");
    }
    session.out.list(&page, &page.runs, list_table)?;
    if let Some(next) = &page.next {
        session.out.aside(format_args!("there are more: add --cursor {next}"));
    }
    Ok(())
}

fn list_table(runs: &[RunView]) -> Table {
    let mut table =
        Table::with_headings(["ID", "FUNCTION", "VERSION", "STATE", "CREATED", "DURATION", "START", "ERROR"]);
    for run in runs {
        table.row([
            run.id.clone(),
            run.function.clone(),
            run.version.to_string(),
            run.state.as_str().to_owned(),
            text::time(&run.created_at),
            run.duration_ms.map(text::millis).unwrap_or_default(),
            if run.cold_start { "cold".to_owned() } else { "warm".to_owned() },
            run.error.as_ref().map(|error| error.code.clone()).unwrap_or_default(),
        ]);
    }
    table
}

pub(crate) fn run_table(run: &RunView) -> Table {
    let mut table = Table::of_properties();
    table.property("id", &run.id);
    table.property("function", format!("{} version {}", run.function, run.version));
    table.property("state", run.state.as_str());
    table.property("trigger", format!("{:?}", run.trigger).to_lowercase());
    table.maybe("replay of", run.origin.as_ref());
    table.property("created", &run.created_at);
    table.maybe("due", run.due_at.as_ref());
    table.maybe("finished", run.finished_at.as_ref());
    table.maybe("duration", run.duration_ms.map(text::millis));
    table.property("start", if run.cold_start { "cold" } else { "warm" });
    table.property("isolation", format!("level {}", run.isolation));
    table.maybe("status", run.http_status);
    for attempt in &run.attempts {
        let mut parts =
            vec![format!("waited {}, ran {}", text::millis(attempt.queue_ms), text::millis(attempt.handler_ms))];
        parts.extend(attempt.cpu_ms.map(|cpu| format!("CPU {}", text::millis(cpu))));
        parts.extend(attempt.peak_memory_bytes.map(|peak| format!("peak memory {}", text::bytes(peak))));
        parts.extend(
            (attempt.dropped_log_lines > 0).then(|| format!("{} log lines dropped", attempt.dropped_log_lines)),
        );
        parts.extend(attempt.code.clone());
        parts.extend(attempt.message.as_deref().map(text::visible));
        table.property(&format!("attempt {}", attempt.number), parts.join(", "));
    }
    if let Some(error) = &run.error {
        let kind = error.kind.as_ref().map(|kind| format!("{kind}: ")).unwrap_or_default();
        table.property("error", format!("{} {kind}{}", error.code, error.message));
        let line = error.line.map(|line| format!(":{line}")).unwrap_or_default();
        table.maybe("at", error.file.as_ref().map(|file| format!("{file}{line}")));
    }
    table.maybe("result", run.result.as_ref());
    table
}

/// The last attempt's: it is the one that the answer came from.
fn print_timeline(run: &RunView, session: &Session) -> anyhow::Result<()> {
    let lines = run.attempts.last().map(timeline::lines).unwrap_or_default();
    if lines.is_empty() || session.out.format != crate::args::Format::Table {
        return Ok(());
    }
    session.out.line("\ntimeline:")?;
    lines.iter().try_for_each(|line| session.out.line(format_args!("  {}", line.trim_end())))
}

pub(crate) fn print_stack(run: &RunView, session: &Session) -> anyhow::Result<()> {
    let Some(error) = run.error.as_ref().filter(|error| !error.stack.is_empty()) else { return Ok(()) };
    if session.out.format != crate::args::Format::Table {
        return Ok(());
    }
    session.out.line("\nstack, outermost call first:")?;
    error
        .stack
        .iter()
        .flat_map(|frame| frame.lines())
        .try_for_each(|line| session.out.line(format_args!("  {}", text::visible(line))))
}
