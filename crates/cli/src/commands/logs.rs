//! `faas logs`

use std::collections::VecDeque;

use clap::Args;
use faas_client::rest::{LogLineView, LogList};
use faas_client::{Client, LogQuery, LogSource};
use faas_types::{LogLevel, limits};

use crate::args::Format;
use crate::output::{Output, Tone};
use crate::session::Session;
use crate::text::{moment, visible};

/// Print or follow the log of a function
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LogsArgs {
    /// The function
    name: String,
    /// Lines of this run only
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    #[command(flatten)]
    lines: LineArgs,
}

/// Which lines, for the log of a function and of a run.
#[derive(Clone, Debug, Args)]
pub(crate) struct LineArgs {
    /// Go on printing lines as they come
    #[arg(short, long)]
    follow: bool,
    /// How many lines to begin with, the newest
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    lines: u32,
    /// Lines that hold this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Lines since then: 10m, 2h or 2026-11-21T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<String>,
    /// Lines of at least this level: debug, info, warn or error
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    level: Option<LogLevel>,
}

const EXAMPLES: &str = "\
Examples:
  faas logs hello
  faas logs hello -f --level warn
  faas logs hello --since 1h --search timeout -n 1000
  faas logs hello -o ndjson | jq .message";

pub(crate) async fn run(args: LogsArgs, session: &Session) -> anyhow::Result<()> {
    print(session, LogSource::Function(args.name), args.lines, args.run).await
}

/// Prints the newest lines of a source and follows it if asked to.
pub(crate) async fn print(
    session: &Session,
    source: LogSource,
    args: LineArgs,
    run: Option<String>,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let mut query = LogQuery { level: args.level, search: args.search, since: args.since, run, ..LogQuery::default() };
    let lines = newest(&client, &source, &query, args.lines).await?;
    let out = &session.out;
    // A document cannot be closed while lines still come, so following prints one document a line.
    if args.follow || out.format != Format::Json {
        lines.iter().try_for_each(|line| print_line(line, out))?;
    } else {
        out.json(&LogList { next: lines.last().map(|line| line.cursor), lines: lines.clone() })?;
    }
    if !args.follow {
        if lines.is_empty() {
            out.aside("no such lines");
        }
        return Ok(());
    }
    query.after = match lines.last() {
        Some(line) => Some(line.cursor),
        // Nothing to begin with: only what is written from now on.
        None => newest(&client, &source, &query, 1).await?.last().map(|line| line.cursor),
    };
    let mut follower = client.follow_logs(source, query).await?;
    while let Some(line) = follower.next().await? {
        print_line(&line, out)?;
    }
    Ok(())
}

/// The newest `wanted` lines, oldest first. The server gives a page of the newest; more than that is found by reading
/// from the start (or from `since`) and keeping the end.
async fn newest(
    client: &Client,
    source: &LogSource,
    query: &LogQuery,
    wanted: u32,
) -> anyhow::Result<Vec<LogLineView>> {
    if wanted == 0 {
        return Ok(Vec::new());
    }
    if wanted <= limits::PAGE_MAX {
        let query = LogQuery { tail: Some(true), limit: Some(wanted), ..query.clone() };
        return Ok(client.logs(source, &query).await?.lines);
    }
    let mut query = LogQuery { limit: Some(limits::PAGE_MAX), ..query.clone() };
    let mut kept = VecDeque::new();
    loop {
        let page = client.logs(source, &query).await?;
        kept.extend(page.lines);
        kept.drain(..kept.len().saturating_sub(wanted as usize));
        match page.next {
            Some(next) if query.after != Some(next) => query.after = Some(next),
            _ => return Ok(kept.into()),
        }
    }
}

fn print_line(line: &LogLineView, out: &Output) -> anyhow::Result<()> {
    if out.format != Format::Table {
        return out.line(serde_json::to_string(line)?);
    }
    let level = format!("{:<5}", line.level.as_str());
    let level = match line.level {
        LogLevel::Error => out.on_stdout(Tone::Bad, level),
        LogLevel::Warn => out.on_stdout(Tone::Warning, level),
        LogLevel::Debug | LogLevel::Info => out.on_stdout(Tone::Faint, level),
    };
    let at = out.on_stdout(Tone::Faint, &line.at);
    let run = out.on_stdout(Tone::Faint, line.run_id.as_deref().unwrap_or("-"));
    out.line(format_args!("{at} {level} {run} {}", visible(&line.message)))
}

fn level(text: &str) -> Result<LogLevel, String> {
    [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error]
        .into_iter()
        .find(|level| level.as_str() == text)
        .ok_or_else(|| format!("`{text}` is not a level; levels are debug, info, warn and error"))
}
