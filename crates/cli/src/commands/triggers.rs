//! `faas triggers`

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use faas_client::rest::{AddTrigger, RotateSecret, TriggerView, TriggerWithSecret};
use faas_client::{Client, Rows};
use faas_terminal::body_argument::read_body;
use faas_terminal::confirmation::Confirmation;
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use faas_types::{CronSchedule, Span, TriggerSettings};
use serde_json::{Map, Value, json};

use crate::commands::deliveries::{self, DeliveriesArgs, RedeliverArgs};
use crate::commands::rows::{self, RowArgs};

/// Bytes of a secret's file.
const SECRET_FILE_MAX: u64 = 4 << 10;

#[derive(Debug, Subcommand)]
pub(crate) enum TriggersCommand {
    /// List the triggers of a function, or of all
    List(ListArgs),
    /// Create a trigger; a webhook's secret is printed once
    Create(Box<CreateArgs>),
    /// Delete a trigger that was created by hand
    Delete(DeleteArgs),
    /// Switch a trigger on
    Enable(EnableArgs),
    /// Switch a trigger off; deployments leave it off
    Disable(DisableArgs),
    /// Fire a trigger once, now
    Test(TestArgs),
    /// Show when a schedule fires next, in its own time zone
    Next(NextArgs),
    /// List the runs that a webhook's deliveries made, newest first
    Deliveries(DeliveriesArgs),
    /// Run a delivery again, on the live version
    Redeliver(RedeliverArgs),
    /// Give a webhook another secret; the one before stays good for a while
    Rotate(RotateArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas triggers list\n  faas triggers list hello\n  faas triggers list hello -o json"
)]
pub(crate) struct ListArgs {
    /// The function; all functions when left out
    function: Option<String>,
    #[command(flatten)]
    rows: RowArgs,
}

#[derive(Debug, Args)]
#[command(after_help = CREATE_EXAMPLES)]
pub(crate) struct CreateArgs {
    /// The function
    function: String,
    /// cron, webhook, event or queue
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Its name [default: the type and a number]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The alias by which it calls the function [default: live]
    #[arg(long, value_name = "NAME")]
    alias: Option<String>,
    /// cron: when, such as '0 9 * * 1-5'
    #[arg(long, value_name = "CRON")]
    schedule: Option<String>,
    /// cron: the time zone of the schedule [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// cron: skip, once, all, or how many missed ticks to make up for [default: once]
    #[arg(long, value_name = "POLICY")]
    missed: Option<String>,
    /// cron: allow, skip or queue a tick while a run is under way [default: allow]
    #[arg(long, value_name = "POLICY")]
    overlap: Option<String>,
    /// cron: the longest random delay, such as 5m
    #[arg(long, value_name = "TIME")]
    jitter: Option<String>,
    /// cron: JSON that the function is called with
    #[arg(long, value_name = "JSON")]
    input: Option<String>,
    /// webhook: how the sender signs: standard, github, stripe or slack [default: standard]
    #[arg(long, value_name = "SCHEME")]
    scheme: Option<String>,
    /// webhook: accepted (202 at once) or answer (the function's own) [default: accepted]
    #[arg(long, value_name = "HOW")]
    respond: Option<String>,
    /// webhook: once (a repeated delivery makes no run) or retry (it does where the run before failed) [default: once]
    #[arg(long, value_name = "HOW")]
    redelivery: Option<String>,
    /// webhook: a file with the secret that the sender chose, or - for standard input
    #[arg(long, alias = "secret-file", value_name = "FILE")]
    file: Option<PathBuf>,
    /// event: a type that is wanted, or a beginning with * behind it; may be repeated
    #[arg(long = "event-type", value_name = "TYPE")]
    types: Vec<String>,
    /// event: a source that is wanted; may be repeated
    #[arg(long = "source", value_name = "SOURCE")]
    sources: Vec<String>,
    /// event: a subject that is wanted; may be repeated
    #[arg(long = "subject", value_name = "SUBJECT")]
    subjects: Vec<String>,
    /// queue: the topic whose messages are wanted
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// queue: maximum number of messages of one run, 1 to 1000 [default: 10]
    #[arg(long, value_name = "N")]
    batch_size: Option<u16>,
    /// queue: how long the first message of a batch waits for others, at most 5m [default: 0s]
    #[arg(long, value_name = "TIME")]
    batch_window: Option<String>,
    /// queue: attempts in all, 1 to 20 [default: those of the function]
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,
    /// The path that the function is called with [default: /]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas triggers delete hello cron-1")]
pub(crate) struct DeleteArgs {
    /// The function
    function: String,
    /// The trigger
    name: String,
    #[command(flatten)]
    confirmation: Confirmation,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas triggers enable hello cron-1")]
pub(crate) struct EnableArgs {
    /// The function
    function: String,
    /// The trigger
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas triggers disable hello cron-1")]
pub(crate) struct DisableArgs {
    /// The function
    function: String,
    /// The trigger
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas triggers test hello cron-1\n  faas triggers test hello github -d @push.json")]
pub(crate) struct TestArgs {
    /// The function
    function: String,
    /// The trigger
    name: String,
    /// What is delivered: text, @FILE, or - for standard input
    #[arg(short = 'd', long, alias = "data", value_name = "BODY", allow_hyphen_values = true)]
    body: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas triggers next hello cron-1\n  faas triggers next hello cron-1 -n 20")]
pub(crate) struct NextArgs {
    /// The function
    function: String,
    /// The trigger
    name: String,
    /// How many
    #[arg(short = 'n', long, alias = "count", value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

#[derive(Debug, Args)]
#[command(after_help = ROTATE_EXAMPLES)]
pub(crate) struct RotateArgs {
    /// The function
    function: String,
    /// The trigger
    name: String,
    /// How long the secret before stays good, at most 720h [default: 24h]
    #[arg(long, value_name = "TIME")]
    keep: Option<Span>,
    /// A file with the secret that the sender chose, or - for standard input
    #[arg(long, alias = "secret-file", value_name = "FILE")]
    file: Option<PathBuf>,
}

const CREATE_EXAMPLES: &str = "\
Examples:
  faas triggers create hello cron --schedule '0 9 * * 1-5' --timezone Europe/Berlin
  faas triggers create hello webhook --scheme github --name pushes
  faas triggers create hello event --event-type 'order.*' --source /shop
  faas triggers create hello queue --topic orders --batch-size 100 --batch-window 2s
  faas triggers create hello cron --schedule @hourly --alias staging";

const ROTATE_EXAMPLES: &str = "\
Examples:
  faas triggers rotate hello pushes
  faas triggers rotate hello payments --file stripe.secret --keep 1h";

pub(crate) async fn run(command: TriggersCommand, session: &Session) -> anyhow::Result<ExitCode> {
    let client = session.client()?;
    let done = match command {
        TriggersCommand::List(args) => {
            let list = match &args.function {
                Some(function) => client.triggers(function, &args.rows.rows()).await?,
                None => client.all_triggers(&args.rows.rows()).await?,
            };
            let empty = "no triggers yet; try: faas triggers create NAME cron --schedule @hourly";
            let wide = args.function.is_none();
            rows::print(&list, &session.out, empty, |rows| table(rows, wide))
        }
        TriggersCommand::Create(args) => {
            let added = client.add_trigger(&args.function, &wanted(&args)?).await?;
            print(&added, session)
        }
        TriggersCommand::Delete(DeleteArgs { function, name, confirmation }) => {
            let shown = format!("trigger `{}` of `{}`", text::visible(&name), text::visible(&function));
            confirmation.ask(format_args!("delete {shown}"), &session.out)?;
            client.remove_trigger(&function, &name).await?;
            session.out.remark(format_args!("deleted {shown}"));
            Ok(())
        }
        TriggersCommand::Enable(EnableArgs { function, name }) => {
            let trigger = client.enable_trigger(&function, &name, true).await?;
            session.out.done(format_args!("{} is on", text::visible(&name)), &trigger)
        }
        TriggersCommand::Disable(DisableArgs { function, name }) => {
            let trigger = client.enable_trigger(&function, &name, false).await?;
            session.out.done(format_args!("{} is off", text::visible(&name)), &trigger)
        }
        TriggersCommand::Test(args) => {
            let body = args.body.as_deref().map(read_body).transpose()?.unwrap_or_default();
            let tested = client.test_trigger(&args.function, &args.name, body.into()).await?;
            match session.out.format {
                Format::Table => session.out.line(&tested.run_id),
                _ => session.out.json(&tested),
            }
        }
        TriggersCommand::Next(args) => next(&args, &client, session).await,
        TriggersCommand::Deliveries(args) => deliveries::deliveries(&args, &client, session).await,
        TriggersCommand::Redeliver(args) => return deliveries::redeliver(args, &client, session).await,
        TriggersCommand::Rotate(args) => {
            let secret = args.file.as_deref().map(secret_of).transpose()?;
            let body = RotateSecret { secret, keep: args.keep.map(|keep| keep.to_string()) };
            let rotated = client.rotate_secret(&args.function, &args.name, &body).await?;
            print(&rotated, session)
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

async fn next(args: &NextArgs, client: &Client, session: &Session) -> anyhow::Result<()> {
    let next = client.next_fires(&args.function, &args.name, &Rows::first(args.limit as usize)).await?;
    if session.out.format != Format::Table {
        return session.out.json(&next);
    }
    let trigger = client.trigger(&args.function, &args.name).await?;
    let (function, name) = (text::visible(&trigger.function), text::visible(&trigger.name));
    let TriggerSettings::Cron(cron) = &trigger.settings else {
        let kind = trigger.settings.kind().as_str();
        session.out.note(format_args!("{name} is of type {kind}; only schedules have next times"));
        return Ok(());
    };
    if !trigger.enabled {
        let remark =
            format!("{name} is switched off and does not fire; switch it on: faas triggers enable {function} {name}");
        session.out.note(remark);
        return Ok(());
    }
    next.items.iter().try_for_each(|tick| session.out.line(tick_text(&cron.schedule, &tick.fires_at)))
}

/// A tick in its schedule's zone, and how far off it is: `2026-11-30 02:30 Europe/Berlin, in 5h`.
pub(crate) fn tick_text(schedule: &CronSchedule, tick: &str) -> String {
    match tick.parse() {
        Ok(at) => format!("{}, {}", schedule.local(at), text::when(tick)),
        Err(_) => text::visible(tick),
    }
}

/// A trigger as the API takes it. What the type does not have is refused there, with the keys that it has.
fn wanted(args: &CreateArgs) -> anyhow::Result<AddTrigger> {
    let mut trigger = Map::new();
    trigger.insert("type".to_owned(), args.kind.as_str().into());
    let texts = [
        ("name", &args.name),
        ("schedule", &args.schedule),
        ("timezone", &args.timezone),
        ("overlap", &args.overlap),
        ("jitter", &args.jitter),
        ("input", &args.input),
        ("scheme", &args.scheme),
        ("respond", &args.respond),
        ("redelivery", &args.redelivery),
        ("topic", &args.topic),
        ("batch_window", &args.batch_window),
        ("path", &args.path),
    ];
    trigger.extend(texts.iter().filter_map(|(key, text)| Some(((*key).to_owned(), text.as_deref()?.into()))));
    if let Some(missed) = &args.missed {
        let count = missed.parse::<u32>().map(Value::from);
        trigger.insert("missed".to_owned(), count.unwrap_or_else(|_| missed.as_str().into()));
    }
    trigger.extend(args.batch_size.map(|size| ("batch_size".to_owned(), size.into())));
    trigger.extend(args.max_attempts.map(|most| ("retry".to_owned(), json!({ "max_attempts": most }))));
    let lists = [("types", &args.types), ("sources", &args.sources), ("subjects", &args.subjects)];
    let lists = lists.iter().filter(|(_, list)| !list.is_empty());
    trigger.extend(lists.map(|(key, list)| ((*key).to_owned(), json!(list))));
    let secret = args.file.as_deref().map(secret_of).transpose()?;
    Ok(AddTrigger { trigger, secret, alias: args.alias.clone() })
}

/// A secret stands in no argument, where others could read it.
fn secret_of(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let outcome = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(SECRET_FILE_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(SECRET_FILE_MAX).read_to_string(&mut text))
    };
    outcome.with_context(|| format!("cannot read {}", path.display()))?;
    match text.trim() {
        "" => Err(Failure::usage(format!("{} is empty; write the secret into it", path.display())).into()),
        secret => Ok(secret.to_owned()),
    }
}

/// The secret as data; the rest is for people.
fn print(made: &TriggerWithSecret, session: &Session) -> anyhow::Result<()> {
    if session.out.format != Format::Table {
        return session.out.json(made);
    }
    let trigger = &made.trigger;
    session.out.note(format_args!("trigger {} of {}", text::visible(&trigger.name), text::visible(&trigger.function)));
    if let Some(url) = &trigger.url {
        session.out.note(format_args!("deliveries go to {}", text::visible(url)));
    }
    if let (Some(next), TriggerSettings::Cron(cron)) = (&trigger.next, &trigger.settings) {
        session.out.note(format_args!("next run: {}", tick_text(&cron.schedule, next)));
    }
    if let Some(secret) = &made.secret {
        session.out.line(secret)?;
        session.out.note("keep the secret: it is not shown again");
    }
    Ok(())
}

/// The rows; with the function's name where they are of several.
fn table(triggers: &[TriggerView], wide: bool) -> Table {
    let headings = ["NAME", "TYPE", "ALIAS", "ORIGIN", "ON", "WHAT", "NEXT", "FIRED", "REFUSED"];
    let headings = if wide {
        ["FUNCTION/NAME", "TYPE", "ALIAS", "ORIGIN", "ON", "WHAT", "NEXT", "FIRED", "REFUSED"]
    } else {
        headings
    };
    let mut table = Table::with_headings(headings);
    for row in triggers {
        table.row([
            if wide { format!("{}/{}", row.function, row.name) } else { row.name.clone() },
            row.settings.kind().as_str().to_owned(),
            row.alias.clone(),
            row.origin.clone(),
            if row.enabled { "yes" } else { "no" }.to_owned(),
            what(row),
            row.next.as_deref().map(text::when).unwrap_or_default(),
            row.fired.to_string(),
            row.refused.to_string(),
        ]);
    }
    table
}

/// What it reacts to: options that `faas triggers create` takes, or a webhook's URL.
fn what(row: &TriggerView) -> String {
    match &row.settings {
        TriggerSettings::Cron(cron) => {
            format!("--schedule '{}' --timezone {}", cron.schedule.expression(), cron.schedule.timezone())
        }
        TriggerSettings::Webhook(hook) if row.secrets == Some(0) => format!("--scheme {} (no secret yet)", hook.scheme),
        TriggerSettings::Webhook(_) => row.url.clone().unwrap_or_default(),
        TriggerSettings::Event(event) => {
            let options =
                [("--event-type", &event.types), ("--source", &event.sources), ("--subject", &event.subjects)];
            let options =
                options.iter().flat_map(|(option, texts)| texts.iter().map(move |text| format!("{option} '{text}'")));
            options.collect::<Vec<_>>().join(" ")
        }
        TriggerSettings::Queue(queue) => format!("--topic {} --batch-size {}", queue.topic, queue.batch_size),
        TriggerSettings::Http { path, .. } => path.clone(),
    }
}
