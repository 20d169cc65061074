//! `faas canaries`

use clap::{Args, Subcommand};
use faas_client::rest::{CanaryView, EndCanary};
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;

use crate::commands::deploy::deployment_table;

#[derive(Debug, Subcommand)]
pub(crate) enum CanariesCommand {
    /// Show the canary: its share of the calls and how they went
    #[command(alias = "status")]
    Get(GetArgs),
    /// Send every call to the canary's version
    Promote(EndArgs),
    /// Send no more calls to the canary's version
    Abort(AbortArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas canaries get hello")]
pub(crate) struct GetArgs {
    /// The function
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas canaries promote hello\n  faas canaries promote hello -m 'looks good'")]
pub(crate) struct EndArgs {
    /// The function
    name: String,
    /// Why, for people
    #[arg(short = 'm', long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas canaries abort hello -m 'wrong currency'")]
pub(crate) struct AbortArgs {
    /// The function
    name: String,
    /// Why, for people
    #[arg(short = 'm', long, value_name = "TEXT")]
    note: Option<String>,
}

pub(crate) async fn run(command: CanariesCommand, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    match command {
        CanariesCommand::Get(args) => session.out.item(&client.canary(&args.name).await?, table),
        CanariesCommand::Promote(args) => {
            let deployment = client.promote_canary(&args.name, &EndCanary { note: args.note }).await?;
            session.out.item(&deployment, deployment_table)
        }
        CanariesCommand::Abort(args) => {
            let deployment = client.abort_canary(&args.name, &EndCanary { note: args.note }).await?;
            session.out.item(&deployment, deployment_table)
        }
    }
}

fn table(canary: &CanaryView) -> Table {
    let policy = &canary.policy;
    let mut table = Table::of_properties();
    table.property("function", &canary.function);
    table.property("version", format!("{} (live is {})", canary.version, canary.live));
    let steps = policy.steps.len();
    table.property(
        "step",
        format!("{} of {steps}: {} % since {}", canary.step, canary.percent, text::dated(&canary.since)),
    );
    table.property("calls", format!("{} of at least {}", canary.calls, policy.min_calls));
    table.property("failed", format!("{} (up to {} % are tolerated)", canary.failed, policy.max_error_rate * 100.0));
    table.maybe("slow", policy.max_p95.as_ref().map(|most| format!("{} above {most}", canary.slow)));
    table.property("every", &policy.every);
    table
}
