//! `faas topics`

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use faas_client::TopicMessage;
use faas_client::rest::{MessageBody, SendMessages, TopicView};
use faas_terminal::body_argument::read_body;
use faas_terminal::confirmation::Confirmation;
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use faas_types::Code;

use crate::commands::rows::{self, RowArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// List the topics that have messages or subscribers
    List(ListArgs),
    /// Show how much waits in a topic, and for whom
    Get(GetArgs),
    /// Send a message, or many, and print the ids
    Send(SendArgs),
    /// Delete the messages of a topic that are not part of a run yet
    Purge(PurgeArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas topics list\n  faas topics list -o json")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    rows: RowArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas topics get orders\n  faas topics get orders -o json")]
pub(crate) struct GetArgs {
    /// The topic
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = SEND_EXAMPLES)]
pub(crate) struct SendArgs {
    /// The topic
    name: String,
    /// The message: text, @FILE, or - for standard input
    #[arg(short = 'd', long, alias = "data", value_name = "BODY", allow_hyphen_values = true, default_value = "")]
    body: String,
    /// What the message is [default: JSON where it is JSON]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// An attribute of the message; may be repeated
    #[arg(short, long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
    /// The body is a JSON list of messages, each with body, content_type and attributes
    #[arg(long, conflicts_with_all = ["content_type", "attributes"])]
    batch: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas topics purge orders")]
pub(crate) struct PurgeArgs {
    /// The topic
    name: String,
    #[command(flatten)]
    confirmation: Confirmation,
}

const SEND_EXAMPLES: &str = "\
Examples:
  faas topics send orders -d '{\"order\": 7}'
  faas topics send orders -d @scan.pdf --content-type application/pdf --attribute tenant=a
  faas topics send orders --batch -d '[{\"body\": 1}, {\"body\": {\"order\": 7}}]'";

pub(crate) async fn run(command: TopicsCommand, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    match command {
        TopicsCommand::List(args) => {
            let list = client.topics(&args.rows.rows()).await?;
            let empty = "no topics yet; a topic is made by its first message: faas topics send NAME -d '{}'";
            rows::print(&list, &session.out, empty, list_table)
        }
        TopicsCommand::Get(args) => session.out.item(&client.topic(&args.name).await?, topic_table),
        TopicsCommand::Send(args) => {
            let sent = if args.batch {
                client.send_messages(&args.name, &batch(&read_body(&args.body)?)?).await?
            } else {
                client.send_message(&args.name, message(&args)?).await?
            };
            match session.out.format {
                Format::Table => sent.ids.iter().try_for_each(|id| session.out.line(id)),
                _ => session.out.json(&sent),
            }
        }
        TopicsCommand::Purge(args) => {
            let act = format!("purge the messages of topic `{}`", text::visible(&args.name));
            args.confirmation.ask(act, &session.out)?;
            let purged = client.purge_topic(&args.name).await?;
            session.out.item(&purged, |purged| {
                let mut table = Table::of_properties();
                table.property("purged", purged.purged);
                table
            })
        }
    }
}

fn message(args: &SendArgs) -> anyhow::Result<TopicMessage> {
    let mut attributes = BTreeMap::new();
    for pair in &args.attributes {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Failure::usage(format!("`{pair}` is not NAME=VALUE")).into());
        };
        attributes.insert(name.to_owned(), value.to_owned());
    }
    let body = read_body(&args.body)?.into();
    Ok(TopicMessage { body, content_type: args.content_type.clone(), attributes })
}

fn batch(body: &[u8]) -> anyhow::Result<SendMessages> {
    let messages: Vec<MessageBody> = serde_json::from_slice(body).map_err(|error| {
        Failure::of(Code::BadRequest, format!("the body is not a list of messages: {error}"))
            .with_hint("write it as [{\"body\": …}, …]")
    })?;
    Ok(SendMessages { messages })
}

fn list_table(topics: &[TopicView]) -> Table {
    let mut table = Table::with_headings(["NAME", "DEPTH", "SIZE", "OLDEST"]);
    for topic in topics {
        table.row([
            topic.name.clone(),
            topic.depth.to_string(),
            text::bytes(topic.bytes),
            topic.oldest_at.as_deref().map(text::when).unwrap_or_default(),
        ]);
    }
    table
}

fn topic_table(topic: &TopicView) -> Table {
    let mut table = Table::of_properties();
    table.property("name", &topic.name);
    table.property("depth", topic.depth);
    table.property("size", text::bytes(topic.bytes));
    table.maybe("oldest", topic.oldest_at.as_deref().map(text::when));
    for one in topic.subscribers.iter().flatten() {
        let off = if one.enabled { "" } else { ", switched off" };
        table.property(
            "subscriber",
            format!(
                "{} by {}: {} waiting{off}",
                text::visible(&one.function),
                text::visible(&one.trigger),
                one.waiting
            ),
        );
    }
    table
}
