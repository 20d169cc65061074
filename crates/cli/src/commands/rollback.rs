//! `faas rollback`

use clap::Args;
use faas_client::rest::RollbackRequest;

use crate::commands::deploy::deployment_table;
use crate::session::Session;

/// Move a function back to an earlier version
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RollbackArgs {
    /// The function
    name: String,
    /// The version [default: the one that served before]
    #[arg(long, value_name = "N")]
    to: Option<u32>,
    /// Why, for people
    #[arg(short = 'm', long, value_name = "TEXT")]
    note: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  faas rollback hello
  faas rollback hello --to 3";

pub(crate) async fn run(args: RollbackArgs, session: &Session) -> anyhow::Result<()> {
    let body = RollbackRequest { version: args.to, note: args.note };
    let deployment = session.client()?.rollback(&args.name, &body).await?;
    session.out.item(&deployment, deployment_table)
}
