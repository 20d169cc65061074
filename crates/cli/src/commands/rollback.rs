//! `faas rollback`

use clap::Args;
use faas_client::rest::RollbackRequest;

use crate::commands::deploy::deployment_table;
use crate::project::name_or_here;
use crate::session::Session;

/// Move a function back to an earlier version
///
/// Without --to it goes to the last version that was good: one that took every call of `live` once and was not rolled back
/// from, nor broke its canary policy. A canary that is under way ends, and that is all. What stays as it is is printed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RollbackArgs {
    /// The function [default: that of the current directory]
    name: Option<String>,
    /// The version [default: the last good one]
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
    let deployment = session.client()?.rollback(&name_or_here(args.name)?, &body).await?;
    session.out.item(&deployment, deployment_table)?;
    for kept in &deployment.not_reverted {
        session.out.note(format_args!("not reverted: {kept}"));
    }
    Ok(())
}
