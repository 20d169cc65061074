//! `faas logs`

use std::collections::VecDeque;

use clap::Args;
use faas_client::rest::{LogLineView, LogList};
use faas_client::{Client, ListLogs, LogFollower, LogSource, Rows};
use faas_terminal::global_args::Format;
use faas_terminal::output::{Output, Tone};
use faas_terminal::session::Session;
use faas_terminal::text::{moment, visible};
use faas_types::{LogLevel, Timestamp};

/// Print, search or follow the log of a function, or of all
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LogsArgs {
    /// The function; all functions when left out
    name: Option<String>,
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
    #[arg(short = 'n', long, alias = "lines", default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(LINES_MAX)))]
    limit: u32,
    /// Lines that hold this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Lines since then: 10m, 2h or 2026-11-21T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<String>,
    /// Lines before then, in the same form
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "follow")]
    until: Option<String>,
    /// Lines of at least this level: debug, info, warn or error
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    level: Option<LogLevel>,
}

/// Lines to begin with, at the most.
const LINES_MAX: u32 = 10_000;

const EXAMPLES: &str = "\
Examples:
  faas logs hello
  faas logs hello -f --level warn
  faas logs hello --since 1h --search timeout -n 1000
  faas logs --level error --since 24h
  faas logs --run run_01JD2Z7Y5T0000000000000000 -f
  faas logs hello -o ndjson | jq .message";

pub(crate) async fn run(args: LogsArgs, session: &Session) -> anyhow::Result<()> {
    let (source, run) = match (args.name, args.run) {
        (Some(name), run) => (LogSource::Function(name), run),
        (None, Some(run)) => (LogSource::Run(run), None),
        (None, None) => (LogSource::Project, None),
    };
    print(session, source, args.lines, run).await
}

/// Prints the newest lines of a source and follows it if asked to.
pub(crate) async fn print(
    session: &Session,
    source: LogSource,
    args: LineArgs,
    run: Option<String>,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let LineArgs { follow, limit, search, since, until, level } = args;
    let of_run = match &source {
        LogSource::Run(id) => Some(id.clone()),
        _ => run.clone(),
    };
    let mut query = ListLogs { level, search, since, until, run, after: None, newest_first: true };
    let mut found = newest(&client, &source, &query, limit).await?;
    let last = found.items.last().map(|line| line.position);
    if limit == 0 {
        found = LogList::default();
    }
    let (out, scope) = (&session.out, Scope::of(&source));
    let mut marks = Marks::of(&client, of_run.as_deref(), out).await?;
    // A document cannot be closed while lines still come, so following prints one document a line.
    if follow || out.format != Format::Json {
        found.items.iter().try_for_each(|line| {
            marks.print_before(line, out)?;
            if follow && out.format != Format::Table {
                return out.json_line(&LogFollower::event(line));
            }
            print_line(line, scope, out)
        })?;
    } else {
        out.json(&found)?;
    }
    if !follow {
        if found.items.is_empty() {
            out.empty("no log lines match");
        } else if found.next_cursor.is_some() {
            out.aside(format_args!("there are older ones: add -n {}", limit.saturating_mul(10).min(LINES_MAX)));
        }
        return Ok(());
    }
    if last.is_some() {
        (query.after, query.newest_first) = (last, false);
    }
    let mut follower = client.follow_logs(source, query, 1).await?;
    while let Some(event) = follower.next_event().await? {
        if out.format != Format::Table {
            out.json_line(&event)?;
        } else if !event.is_last() {
            print_line(&LogFollower::line(event)?, scope, out)?;
        }
    }
    Ok(())
}

/// The newest lines, oldest first.
async fn newest(client: &Client, source: &LogSource, query: &ListLogs, wanted: u32) -> anyhow::Result<LogList> {
    // One line even where none is wanted: it shows where the log stands.
    let mut found = client.logs(source, query, &Rows::first(wanted.max(1) as usize)).await?;
    found.items.reverse();
    Ok(found)
}

/// Where the attempts of a run begin, to be marked in its log. Empty where there are not several.
struct Marks(VecDeque<(u32, Timestamp)>);

impl Marks {
    async fn of(client: &Client, run: Option<&str>, out: &Output) -> anyhow::Result<Self> {
        let Some(id) = run else { return Ok(Self(VecDeque::new())) };
        if out.format != Format::Table {
            return Ok(Self(VecDeque::new()));
        }
        let attempts = client.run(id).await?.attempts;
        let begins = attempts.iter().filter_map(|attempt| Some((attempt.number, attempt.started_at.parse().ok()?)));
        Ok(Self(if attempts.len() > 1 { begins.collect() } else { VecDeque::new() }))
    }

    /// Prints the marks of attempts that began before a line.
    fn print_before(&mut self, line: &LogLineView, out: &Output) -> anyhow::Result<()> {
        let Ok(at) = line.at.parse::<Timestamp>() else { return Ok(()) };
        while let Some((number, _)) = self.0.pop_front_if(|(_, began)| *began <= at) {
            out.line(out.on_stdout(Tone::Faint, format_args!("--- attempt {number} ---")))?;
        }
        Ok(())
    }
}

/// How much a line has to say of where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Project,
    Function,
    Run,
}

impl Scope {
    fn of(source: &LogSource) -> Self {
        match source {
            LogSource::Project => Self::Project,
            LogSource::Function(_) => Self::Function,
            LogSource::Run(_) => Self::Run,
        }
    }
}

fn print_line(line: &LogLineView, scope: Scope, out: &Output) -> anyhow::Result<()> {
    if out.format != Format::Table {
        return out.json_line(line);
    }
    let level = format!("{:<5}", line.level.as_str());
    let level = match line.level {
        LogLevel::Error => out.on_stdout(Tone::Bad, level),
        LogLevel::Warn => out.on_stdout(Tone::Warning, level),
        LogLevel::Debug | LogLevel::Info => out.on_stdout(Tone::Faint, level),
    };
    let at = out.on_stdout(Tone::Faint, &line.at);
    let run = line.run_id.as_deref().unwrap_or("-");
    let origin = match scope {
        Scope::Project => format!("{} {run} ", visible(&line.function)),
        Scope::Function => format!("{run} "),
        Scope::Run => String::new(),
    };
    let origin = out.on_stdout(Tone::Faint, origin);
    out.line(format_args!("{at} {level} {origin}{}", visible(&line.message)))
}

fn level(text: &str) -> Result<LogLevel, String> {
    [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error]
        .into_iter()
        .find(|level| level.as_str() == text)
        .ok_or_else(|| format!("`{text}` is not a level; levels are debug, info, warn and error"))
}
