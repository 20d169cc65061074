//! `faas deployments`

use clap::{Args, Subcommand};
use faas_client::rest::MoveView;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;

#[derive(Debug, Subcommand)]
pub(crate) enum DeploymentsCommand {
    /// List deployments, rollbacks and other changes of a function's aliases, newest first
    List(ListArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas deployments list hello")]
pub(crate) struct ListArgs {
    /// The function
    name: String,
}

pub(crate) async fn run(command: DeploymentsCommand, session: &Session) -> anyhow::Result<()> {
    let DeploymentsCommand::List(args) = command;
    list(&args, session).await
}

pub(crate) async fn list(args: &ListArgs, session: &Session) -> anyhow::Result<()> {
    let list = session.client()?.deployments(&args.name).await?;
    session.out.list(&list, &list.deployments, moves_table)
}

fn moves_table(moves: &[MoveView]) -> Table {
    let mut table = Table::with_headings(["AT", "KIND", "ALIAS", "FROM", "TO", "BY", "NOTE"]);
    for event in moves {
        let split = event.split.map(|split| format!(" ({} % to {})", split.percent, split.version));
        table.row([
            text::when(&event.at),
            format!("{:?}", event.kind).to_lowercase(),
            event.alias.clone(),
            event.from.map_or_else(|| "-".to_owned(), |from| from.to_string()),
            format!("{}{}", event.to, split.unwrap_or_default()),
            event.by.as_ref().map_or_else(|| "-".to_owned(), |by| by.name.clone()),
            event.note.clone().unwrap_or_default(),
        ]);
    }
    table
}
