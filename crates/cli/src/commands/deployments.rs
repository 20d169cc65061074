//! `faas deployments`

use clap::{Args, Subcommand};
use faas_client::rest::{DeploymentGroupView, DeploymentView, StreamEvent};
use faas_client::{Client, ClientError};
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use faas_types::DeploymentState;
use serde_json::Value;

use crate::commands::deploy::{deployment_table, group_table, number};

use crate::commands::rows::{self, RowArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum DeploymentsCommand {
    /// List deployments, rollbacks and other changes of a function's aliases, newest first
    List(ListArgs),
    /// Show a deployment, or a deployment group
    #[command(after_help = "Examples:\n  faas deployments get dep_01JD2Z7Y5T0000000000000000")]
    Get(IdArgs),
    /// Show what happened in a deployment, and follow it to its end
    #[command(after_help = "Examples:\n  faas deployments events dep_01JD2Z7Y5T0000000000000000")]
    Events(IdArgs),
    /// Cancel a deployment that has not been committed
    #[command(after_help = "Examples:\n  faas deployments cancel dep_01JD2Z7Y5T0000000000000000")]
    Cancel(IdArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas deployments list hello\n  faas deployments list hello --state failed")]
pub(crate) struct ListArgs {
    /// The function
    name: String,
    /// Only deployments in this state: queued, building, checking, succeeded, failed or cancelled; several with commas
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    #[command(flatten)]
    rows: RowArgs,
}

#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    /// The deployment's id, or the group's
    #[arg(value_name = "ID")]
    id: String,
}

/// Groups have ids of their own kind.
const GROUP: &str = "dgr_";

pub(crate) async fn run(command: DeploymentsCommand, session: &Session) -> anyhow::Result<()> {
    match command {
        DeploymentsCommand::List(args) => list(&args, session).await,
        DeploymentsCommand::Get(args) => get(&args.id, session).await,
        DeploymentsCommand::Events(args) => events(&args.id, session).await,
        DeploymentsCommand::Cancel(args) => cancel(&args.id, session).await,
    }
}

pub(crate) async fn list(args: &ListArgs, session: &Session) -> anyhow::Result<()> {
    let list = session.client()?.deployments(&args.name, args.state.as_deref(), &args.rows.rows()).await?;
    rows::print(&list, &session.out, "no deployments yet; try: faas deploy", moves_table)
}

async fn get(id: &str, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    if id.starts_with(GROUP) {
        return session.out.item(&client.group(id).await?, whole_group);
    }
    session.out.item(&client.deployment(id).await?, whole)
}

async fn cancel(id: &str, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    if id.starts_with(GROUP) {
        return session.out.item(&client.cancel_group(id).await?, whole_group);
    }
    session.out.item(&client.cancel_deployment(id).await?, whole)
}

async fn events(id: &str, session: &Session) -> anyhow::Result<()> {
    let (client, out) = (session.client()?, &session.out);
    let mut shown = Ok(());
    let outcome = follow(&client, id, |event| {
        if shown.is_ok() {
            shown = match out.format {
                Format::Table => line_of(event).map_or(Ok(()), |line| out.line(line)),
                Format::Json | Format::Ndjson => out.json_line(event),
            };
        }
    })
    .await;
    shown?;
    Ok(outcome?)
}

async fn follow(client: &Client, id: &str, told: impl FnMut(&StreamEvent)) -> Result<(), ClientError> {
    if id.starts_with(GROUP) {
        return client.follow_group(id).await?.outcome(told).await.map(drop);
    }
    client.follow_deployment(id).await?.outcome(told).await.map(drop)
}

/// An event for people.
fn line_of(event: &StreamEvent) -> Option<String> {
    let field = |name: &str| event.data.get(name).and_then(Value::as_str).unwrap_or_default();
    let words = match event.kind.as_str() {
        "log" => format!("| {}", text::visible(field("message"))),
        "state" => field("state").to_owned(),
        "step" => {
            let rest = event.data.as_object()?.iter().filter(|(key, _)| !matches!(key.as_str(), "step" | "function"));
            let rest: Vec<String> =
                rest.map(|(_, value)| text::visible(value.as_str().unwrap_or(&value.to_string()))).collect();
            format!("{} {}", field("step"), rest.join(" "))
        }
        StreamEvent::END => "ended".to_owned(),
        _ => return None,
    };
    Some(format!("{} {} {}", event.at, text::visible(field("function")), words.trim_end()))
}

fn whole(deployment: &DeploymentView) -> Table {
    let mut table = match deployment.state {
        DeploymentState::Succeeded => deployment_table(deployment),
        _ => Table::of_properties(),
    };
    if deployment.state != DeploymentState::Succeeded {
        table.property("function", &deployment.function);
        table.property("alias", &deployment.alias);
        table.maybe("note", deployment.note.as_ref());
    }
    table.property("id", &deployment.id);
    table.property("kind", format!("{:?}", deployment.kind).to_lowercase());
    table.property("state", deployment.state.as_str());
    table.maybe("problem", deployment.problem.as_ref().map(|problem| text::visible(&problem.detail)));
    table.property("created", text::when(&deployment.created_at));
    table
}

fn whole_group(group: &DeploymentGroupView) -> Table {
    if group.state == DeploymentState::Succeeded {
        return group_table(group);
    }
    let mut table = Table::of_properties();
    table.property("id", &group.id);
    table.property("state", group.state.as_str());
    table.maybe("problem", group.problem.as_ref().map(|problem| text::visible(&problem.detail)));
    for deployment in &group.deployments {
        table.property(&deployment.function, deployment.state.as_str());
    }
    table
}

fn moves_table(moves: &[DeploymentView]) -> Table {
    let mut table = Table::with_headings(["ID", "AT", "KIND", "STATE", "ALIAS", "FROM", "TO", "BY", "NOTE"]);
    for event in moves {
        let split = event.split.map(|split| format!(" ({} % to {})", split.percent, split.version));
        table.row([
            event.id.clone(),
            text::when(&event.created_at),
            format!("{:?}", event.kind).to_lowercase(),
            event.state.as_str().to_owned(),
            event.alias.clone(),
            number(event.from),
            format!("{}{}", number(event.version), split.unwrap_or_default()),
            event.actor.as_ref().map_or_else(|| "-".to_owned(), |actor| actor.name.clone()),
            event.note.clone().unwrap_or_default(),
        ]);
    }
    table
}
