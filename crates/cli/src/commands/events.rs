//! `faas events`

use clap::{Args, Subcommand};
use faas_client::rest::EventRun;
use faas_terminal::body_argument::read_body;
use faas_terminal::session::Session;
use faas_terminal::table::Table;

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Publish a CloudEvent, or a list of them, and print the runs that they make
    Publish(PublishArgs),
}

#[derive(Debug, Args)]
#[command(after_help = PUBLISH_EXAMPLES)]
pub(crate) struct PublishArgs {
    /// The event as JSON: text, @FILE, or - for standard input
    #[arg(value_name = "EVENT", allow_hyphen_values = true)]
    event: String,
}

const PUBLISH_EXAMPLES: &str = "\
Examples:
  faas events publish @event.json
  faas events publish '{\"specversion\": \"1.0\", \"id\": \"1\", \"source\": \"/shop\", \"type\": \"order.paid\"}'";

pub(crate) async fn run(command: EventsCommand, session: &Session) -> anyhow::Result<()> {
    let EventsCommand::Publish(args) = command;
    let published = session.client()?.publish_events(event(&args.event)?.into()).await?;
    if published.runs.is_empty() {
        session.out.aside("no trigger wants it");
    }
    session.out.list(&published, &published.runs, table)
}

/// JSON has no byte order mark, which some editors write all the same.
fn event(data: &str) -> anyhow::Result<Vec<u8>> {
    let bytes = read_body(data)?;
    Ok(bytes.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec).unwrap_or(bytes))
}

fn table(runs: &[EventRun]) -> Table {
    let mut table = Table::with_headings(["EVENT", "FUNCTION", "TRIGGER", "RUN", "REPEATED"]);
    for run in runs {
        table.row([
            run.event.to_string(),
            run.function.clone(),
            run.trigger.clone(),
            run.run_id.clone(),
            if run.repeated { "yes" } else { "no" }.to_owned(),
        ]);
    }
    table
}
