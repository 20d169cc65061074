//! `faas runs watch|cancel|replay`, and waiting for a run's end wherever that is asked for.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use faas_client::rest::{AcceptedRun, ReplayRequest, ReplayVersion, RunView};
use faas_terminal::body_argument::read_body;
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::text;
use faas_types::{JsonText, RunState};
use indicatif::{ProgressBar, ProgressStyle};

use crate::commands::run_output::{print_stack, run_table};

/// How long one request waits; then the progress is shown anew.
const STEP: Duration = Duration::from_secs(2);
/// The same where nobody watches.
const QUIET_STEP: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas runs watch run_01JD2Z7Y5T0000000000000000")]
pub(crate) struct WatchArgs {
    /// The run's id
    id: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas runs cancel run_01JD2Z7Y5T0000000000000000")]
pub(crate) struct CancelArgs {
    /// The run's id; several may be given
    #[arg(required = true)]
    ids: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas runs replay run_01JD2Z7Y5T0000000000000000\n  faas runs replay run_01JD2Z7Y5T0000000000000000 -d '{\"x\": 6}' --current --wait"
)]
pub(crate) struct ReplayArgs {
    /// The run's id
    id: String,
    /// Another body, as JSON: text, @FILE, or - for standard input
    #[arg(short = 'd', long, alias = "data", value_name = "BODY", allow_hyphen_values = true)]
    body: Option<String>,
    /// Run it on the live version instead of the run's own
    #[arg(long)]
    current: bool,
    /// Wait for the end
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn watch(args: WatchArgs, session: &Session) -> anyhow::Result<ExitCode> {
    let run = until_ended(&args.id, session).await?;
    report(&run, session)
}

pub(crate) async fn cancel(args: CancelArgs, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    for id in &args.ids {
        let run = client.cancel_run(id).await?;
        session.out.done(format_args!("cancelled {}", run.id), &run)?;
    }
    Ok(())
}

pub(crate) async fn replay(args: ReplayArgs, session: &Session) -> anyhow::Result<ExitCode> {
    let payload = match &args.body {
        Some(argument) => {
            let body = read_body(argument)?;
            let value = JsonText::parse(&body).and_then(JsonText::shallow);
            Some(value.ok_or_else(|| Failure::usage("the body is not JSON; quote texts, as in -d '\"text\"'"))?)
        }
        None => None,
    };
    let version = if args.current { ReplayVersion::Current } else { ReplayVersion::Same };
    let accepted = session.client()?.replay_run(&args.id, &ReplayRequest { payload, version }).await?;
    accepted_or_ended(&accepted, args.wait, session).await
}

/// Says which run was accepted, or waits for its end and shows that.
pub(crate) async fn accepted_or_ended(
    accepted: &AcceptedRun,
    wait: bool,
    session: &Session,
) -> anyhow::Result<ExitCode> {
    if wait {
        let run = until_ended(&accepted.run_id, session).await?;
        return report(&run, session);
    }
    match session.out.format {
        Format::Table => session.out.line(&accepted.run_id)?,
        Format::Json | Format::Ndjson => session.out.json(accepted)?,
    }
    session.out.aside(format_args!("accepted; follow it with: faas runs watch {}", accepted.run_id));
    Ok(ExitCode::SUCCESS)
}

async fn until_ended(id: &str, session: &Session) -> anyhow::Result<RunView> {
    let client = session.client()?;
    let bar = session.out.stderr_tty.then(spinner).transpose()?;
    let step = if bar.is_some() { STEP } else { QUIET_STEP };
    // The first look is at once, so that the progress tells something from the beginning.
    let mut run = client.run(id).await?;
    while !run.state.is_terminal() {
        if let Some(bar) = &bar {
            bar.set_message(progress(&run));
        }
        run = client.await_run(id, step).await?;
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(run)
}

fn spinner() -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}").context("the progress line's form")?;
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(Duration::from_millis(100));
    Ok(bar)
}

/// One line about a run that has not ended.
fn progress(run: &RunView) -> String {
    let tried = run.attempts.len();
    match run.state {
        RunState::Queued => "queued".to_owned(),
        RunState::Retried => {
            let why = run.attempts.last().and_then(|attempt| attempt.message.clone()).unwrap_or_default();
            let due = run.due_at.as_deref().map(text::time).unwrap_or_default();
            text::visible(&format!("attempt {tried} failed ({why}), the next one begins at {due}"))
        }
        _ => format!("running, attempt {}", tried + 1),
    }
}

/// The end of a run: a run that did not succeed is a failure of this command too.
fn report(run: &RunView, session: &Session) -> anyhow::Result<ExitCode> {
    session.out.item(run, run_table)?;
    print_stack(run, session)?;
    Ok(if run.state == RunState::Succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
