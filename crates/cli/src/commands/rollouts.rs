//! `faas rollouts`

use clap::{Args, Subcommand};
use faas_client::rest::{EndRollout, RolloutView};
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;

use crate::commands::deploy::deployment_table;

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutsCommand {
    /// Show the rollout: its share of the calls and how they went
    #[command(alias = "status")]
    Get(GetArgs),
    /// Send every call to the new version
    Promote(EndArgs),
    /// Send no more calls to the new version
    Abort(AbortArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas rollouts get hello")]
pub(crate) struct GetArgs {
    /// The function
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas rollouts promote hello\n  faas rollouts promote hello -m 'looks good'")]
pub(crate) struct EndArgs {
    /// The function
    name: String,
    /// Why, for people
    #[arg(short = 'm', long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas rollouts abort hello -m 'wrong currency'")]
pub(crate) struct AbortArgs {
    /// The function
    name: String,
    /// Why, for people
    #[arg(short = 'm', long, value_name = "TEXT")]
    note: Option<String>,
}

pub(crate) async fn run(command: RolloutsCommand, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    match command {
        RolloutsCommand::Get(args) => session.out.item(&client.rollout(&args.name).await?, table),
        RolloutsCommand::Promote(args) => {
            let deployment = client.promote_rollout(&args.name, &EndRollout { note: args.note }).await?;
            session.out.item(&deployment, deployment_table)
        }
        RolloutsCommand::Abort(args) => {
            let deployment = client.abort_rollout(&args.name, &EndRollout { note: args.note }).await?;
            session.out.item(&deployment, deployment_table)
        }
    }
}

fn table(rollout: &RolloutView) -> Table {
    let policy = &rollout.policy;
    let mut table = Table::of_properties();
    table.property("function", &rollout.function);
    table.property("version", format!("{} (live is {})", rollout.version, rollout.live));
    let steps = policy.steps.len();
    table.property(
        "step",
        format!("{} of {steps}: {} % since {}", rollout.step, rollout.percent, text::dated(&rollout.since)),
    );
    table.property("calls", format!("{} of at least {}", rollout.calls, policy.min_calls));
    table.property("failed", format!("{} (up to {} % are tolerated)", rollout.failed, policy.max_error_rate * 100.0));
    table.maybe("slow", policy.max_p95.as_ref().map(|most| format!("{} above {most}", rollout.slow)));
    table.property("every", &policy.every);
    table
}
