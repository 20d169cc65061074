//! `faas triggers deliveries|redeliver`: the runs that a webhook's deliveries made.

use std::process::ExitCode;

use clap::Args;
use faas_client::rest::{ReplayRequest, ReplayVersion, RunList, RunView};
use faas_client::{Client, ListRuns, Rows};
use faas_terminal::failure::Failure;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use faas_types::{Code, TriggerKind, limits};

use crate::commands::watch;

/// Pages of runs that are searched for one listing.
const PAGES_MAX: u32 = 50;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas triggers deliveries hello pushes\n  faas triggers deliveries hello pushes -n 100"
)]
pub(crate) struct DeliveriesArgs {
    /// The function
    function: String,
    /// The webhook
    name: String,
    /// How many, the newest
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::PAGE_MAX)))]
    limit: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas triggers redeliver hello pushes run_01JD2Z7Y5T0000000000000000 --wait")]
pub(crate) struct RedeliverArgs {
    /// The function
    function: String,
    /// The webhook
    name: String,
    /// The run of the delivery, as `faas triggers deliveries` shows it
    run: String,
    /// Wait for the end
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn deliveries(args: &DeliveriesArgs, client: &Client, session: &Session) -> anyhow::Result<()> {
    let wanted = args.limit as usize;
    let query =
        ListRuns { function: Some(args.function.clone()), trigger: Some(TriggerKind::Webhook), ..ListRuns::default() };
    // A name that no trigger has would list nothing, as one without deliveries does.
    client.trigger(&args.function, &args.name).await?;
    let (mut list, mut rows) = (RunList::default(), Rows::first(limits::PAGE_MAX as usize));
    for _ in 0..PAGES_MAX {
        let page = client.runs(&query, &rows).await?;
        list.items.extend(page.items.into_iter().filter(|run| is_of(run, &args.name)));
        if page.next_cursor.is_none() || list.items.len() >= wanted {
            break;
        }
        rows.cursor = page.next_cursor;
    }
    list.items.truncate(wanted);
    if list.items.is_empty() {
        let (function, name) = (text::visible(&args.function), text::visible(&args.name));
        session.out.empty(format_args!("no deliveries yet; try: faas triggers test {function} {name} -d '{{}}'"));
    }
    session.out.list(&list, &list.items, table)
}

pub(crate) async fn redeliver(args: RedeliverArgs, client: &Client, session: &Session) -> anyhow::Result<ExitCode> {
    let run = client.run(&args.run).await?;
    if !is_of(&run, &args.name) || run.function != args.function {
        let message = format!("{} is not a delivery at `{}` of `{}`", run.id, args.name, args.function);
        let failure = Failure::of(Code::NotFound, text::visible(&message));
        let hint = format!("see `faas triggers deliveries {} {}`", args.function, args.name);
        return Err(failure.with_hint(text::visible(&hint)).into());
    }
    let body = ReplayRequest { payload: None, version: ReplayVersion::Current };
    let accepted = client.replay_run(&args.run, &body).await?;
    watch::accepted_or_ended(&accepted, args.wait, session).await
}

fn is_of(run: &RunView, trigger: &str) -> bool {
    run.trigger == TriggerKind::Webhook && run.trigger_name.as_deref() == Some(trigger)
}

fn table(runs: &[RunView]) -> Table {
    let mut table = Table::with_headings(["RUN", "STATE", "WHEN", "DURATION", "STATUS", "ERROR"]);
    for run in runs {
        table.row([
            run.id.clone(),
            run.state.as_str().to_owned(),
            text::when(&run.created_at),
            run.duration_ms.map(text::millis).unwrap_or_default(),
            run.http_status.map(|status| status.to_string()).unwrap_or_default(),
            run.error.as_ref().map(|error| format!("{} {}", error.code, error.summary)).unwrap_or_default(),
        ]);
    }
    table
}
