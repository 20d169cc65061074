//! `faas test`

mod case;
mod check;
mod coverage;
mod observed;
mod runner;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use faas_client::Client;
use serde_json::{Value, json};

use crate::local::{self, LocalArgs};
use crate::local_data;
use crate::server_host::ServerHost;
use case::Case;
use coverage::Coverage;
use faas_source::location::or_here;
use faas_source::project::{Overrides, Project};
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::output::Tone;
use faas_terminal::session::Session;
use faas_terminal::text::{self, visible};
use runner::Outcome;

/// Run a function's event files in a private server
///
/// Deploys the directory to a server in this process, calls it as tests/*.json and events/*.json say, and compares the answers with
/// what they expect. Ends with 1 when one differs.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TestArgs {
    /// A directory with a manifest, or a single file [default: .]
    path: Option<PathBuf>,
    /// An event file to run instead of those of the directory; may be repeated. One without `request` and `expect` is the body of
    /// a call
    #[arg(long = "event", value_name = "FILE")]
    events: Vec<PathBuf>,
    /// Write the snapshots that cases ask for
    #[arg(long)]
    update: bool,
    /// Where its state lives [default: .faas/test in the project]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    local: LocalArgs,
}

const EXAMPLES: &str = "\
Examples:
  faas test
  faas test hello --update
  faas test --event test-event.json
  faas test hello -o json | jq .coverage";

/// Runs the command.
///
/// # Errors
/// The server cannot start, or a case cannot be read or run.
pub async fn run<S: ServerHost>(args: TestArgs, session: &Session, server: &S) -> anyhow::Result<ExitCode> {
    let path = or_here(args.path.clone());
    let cases = if args.events.is_empty() { case::beside(&path)? } else { case::of_files(&args.events)? };
    let project = Project::open(&path, Overrides::default())?;
    if let Some(skipped) = &project.skipped {
        session.out.note(skipped);
    }
    let data = args.data.unwrap_or_else(|| local_data::place(&path, local::TEST_PLACE));
    let config = args.local.config(&data, 0, &session.out)?;
    let debugger = args.local.debugger(&path, &session.out)?;
    let outcomes = server.host(config, debugger, async |local| {
        let client = local.client()?;
        let deployed = local::deploy(&client, &project, local.debuggee.as_ref(), args.local.layers()).await?;
        local::not_installed(&deployed).iter().for_each(|note| session.out.note(note));
        run_cases(&client, &project, &cases, args.update, session).await
    });
    let outcomes = outcomes.await?.ok_or_else(local::interrupted)?;
    let coverage = Coverage::of(&project.manifest.settings.triggers, &outcomes);
    report(&outcomes, &coverage, session)?;
    Ok(if outcomes.iter().all(Outcome::passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run_cases(
    client: &Client,
    project: &Project,
    cases: &[Case],
    update: bool,
    session: &Session,
) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for case in cases {
        let outcome = runner::run_case(client, project.name.as_str(), case, update).await?;
        tell(&outcome, session)?;
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// One line for people, as soon as it is known.
fn tell(outcome: &Outcome, session: &Session) -> anyhow::Result<()> {
    let out = &session.out;
    match out.format {
        Format::Table => {}
        Format::Ndjson => return out.json(&outcome.report()),
        Format::Json => return Ok(()),
    }
    let word = if outcome.passed() { "ok  ".to_owned() } else { out.on_stdout(Tone::Bad, "FAIL") };
    let took = out.on_stdout(Tone::Faint, text::took(outcome.took));
    out.line(format_args!("{word} {} {took}", visible(&outcome.name)))?;
    outcome.problems.iter().try_for_each(|problem| out.line(format_args!("     {}", visible(problem))))
}

fn report(outcomes: &[Outcome], coverage: &Coverage, session: &Session) -> anyhow::Result<()> {
    let passed = outcomes.iter().filter(|outcome| outcome.passed()).count();
    let failed = outcomes.len() - passed;
    match session.out.format {
        Format::Json => {
            let cases: Vec<Value> = outcomes.iter().map(Outcome::report).collect();
            session.out.json(&json!({ "passed": passed, "failed": failed, "cases": cases, "coverage": coverage }))
        }
        Format::Ndjson => session.out.json(&json!({ "passed": passed, "failed": failed, "coverage": coverage })),
        Format::Table => session.out.line(format_args!("{passed} passed, {failed} failed; {coverage}")),
    }
}

/// An event file that cannot be used.
fn unusable(file: &str, message: impl std::fmt::Display) -> Failure {
    Failure::of(faas_types::Code::InvalidConfiguration, visible(&format!("{file}: {message}")))
}
