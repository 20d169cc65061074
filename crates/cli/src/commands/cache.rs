//! `faas cache`

use clap::{Args, Subcommand};
use faas_terminal::session::Session;
use faas_terminal::table::Table;

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Clear the cached answers of a function
    Purge(PurgeArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas cache purge hello")]
pub(crate) struct PurgeArgs {
    /// The function's name
    name: String,
}

pub(crate) async fn run(command: CacheCommand, session: &Session) -> anyhow::Result<()> {
    let CacheCommand::Purge(args) = command;
    let purged = session.client()?.purge_cache(&args.name).await?;
    session.out.item(&purged, |purged| {
        let mut table = Table::of_properties();
        table.property("purged", purged.purged);
        table
    })
}
