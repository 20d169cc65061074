//! `faas rollback`

use clap::Args;
use faas_client::rest::RollbackRequest;
use faas_source::project::name_or_here;
use faas_terminal::session::Session;

use crate::commands::deploy::{deployment_table, group_table};

/// Move a function back to an earlier version
///
/// Without --to it goes to the last version that was good: one that took every call of `live` once and was not rolled back
/// from, nor broke its canary policy. A canary that is under way ends, and that is all. It prints what does not change.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RollbackArgs {
    /// The function [default: that of the current directory]
    name: Option<String>,
    /// All functions of a deployment group, by its id
    #[arg(long, value_name = "DEPLOYMENT", conflicts_with_all = ["name", "to"])]
    group: Option<String>,
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
  faas rollback hello --to 3
  faas rollback --group dgr_01JD2Z7Y5T0000000000000000";

pub(crate) async fn run(args: RollbackArgs, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    if let Some(id) = &args.group {
        let group = client.rollback_group(id, args.note).await?;
        for unmoved in &group.unmoved {
            session.out.note(format_args!("{} stays as it is: {}", unmoved.function, unmoved.message));
        }
        return session.out.item(&group, group_table);
    }
    let body = RollbackRequest { version: args.to, note: args.note };
    let deployment = client.rollback(&name_or_here(args.name)?, &body).await?;
    session.out.item(&deployment, deployment_table)?;
    for kept in &deployment.not_reverted {
        session.out.note(format_args!("not reverted: {kept}"));
    }
    Ok(())
}
