//! `faas fn`

use std::collections::HashSet;
use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use faas_client::rest::{FunctionList, FunctionMetrics, FunctionView, MoveView, SettingView, VersionDiff, VersionView};
use faas_devloop::dev::{self, DevArgs};
use faas_devloop::test::{self, TestArgs};
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use serde_json::Value;

use crate::ServerCommands;
use crate::commands::deploy::{self, DeployArgs, NO_HTTP, has_http};
use crate::commands::init::{self, InitArgs};
use crate::commands::invoke::{self, InvokeArgs};
use crate::commands::logs::{self, LogsArgs};
use crate::commands::rollback::{self, RollbackArgs};
use crate::commands::validate::{self, ValidateArgs};

/// Characters of a setting's value that a table shows.
const VALUE_CHARS: usize = 60;

#[derive(Debug, Subcommand)]
pub(crate) enum FunctionsCommand {
    /// Write a new function to start from
    Init(InitArgs),
    /// Run a function on this machine and redeploy it at each change
    Dev(DevArgs),
    /// Run a function's event files in a private server
    Test(TestArgs),
    /// Check a function before it is deployed
    Validate(ValidateArgs),
    /// Deploy a directory, a file, or the function of this name here
    Deploy(DeployArgs),
    /// Call a function and print its answer
    Invoke(InvokeArgs),
    /// Print or follow the log of a function
    Logs(LogsArgs),
    /// List functions
    List(ListArgs),
    /// Show a function
    Get(GetArgs),
    /// Print a function's URL
    Url(UrlArgs),
    /// List a function's versions, newest first
    Versions(VersionsArgs),
    /// Show the differences of two versions: files and settings
    Diff(DiffArgs),
    /// List deployments, rollbacks and other changes of a function's aliases, newest first
    Deployments(DeploymentsArgs),
    /// Print the build log of a version
    BuildLog(BuildLogArgs),
    /// Show a function's call counts, error rate and latency
    Metrics(MetricsArgs),
    /// Move a function back to an earlier version
    Rollback(RollbackArgs),
    /// Pause a function: its accepted runs wait
    Pause(PauseArgs),
    /// Resume a paused function
    Resume(ResumeArgs),
    /// Delete functions with their versions
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas fn list\n  faas fn list -o ndjson | jq .name")]
pub(crate) struct ListArgs {}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas fn get hello\n  faas fn get hello -o json")]
pub(crate) struct GetArgs {
    /// The function
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas fn url hello")]
pub(crate) struct UrlArgs {
    /// The function
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas fn versions hello")]
pub(crate) struct VersionsArgs {
    /// The function
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas fn diff hello 3 5\n  faas fn diff hello 3 5 -o json")]
pub(crate) struct DiffArgs {
    /// The function
    name: String,
    /// The first version
    from: u32,
    /// The second one
    to: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas fn deployments hello")]
pub(crate) struct DeploymentsArgs {
    /// The function
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas fn build-log hello\n  faas fn build-log hello 3 -o json")]
pub(crate) struct BuildLogArgs {
    /// The function
    name: String,
    /// The version [default: the one that serves]
    version: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas fn metrics hello\n  faas fn metrics hello -o json")]
pub(crate) struct MetricsArgs {
    /// The function
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas fn pause hello")]
pub(crate) struct PauseArgs {
    /// The function
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas fn resume hello")]
pub(crate) struct ResumeArgs {
    /// The function
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas fn delete hello\n  faas fn delete hello greet --yes")]
pub(crate) struct DeleteArgs {
    /// The functions; when one of them does not exist, none is deleted
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(crate) async fn run<S: ServerCommands>(
    command: FunctionsCommand,
    session: &Session,
    server: &S,
) -> anyhow::Result<ExitCode> {
    match command {
        FunctionsCommand::Init(args) => init::run(&args, session)?,
        FunctionsCommand::Dev(args) => Box::pin(dev::run(args, session, server)).await?,
        FunctionsCommand::Test(args) => return Box::pin(test::run(args, session, server)).await,
        FunctionsCommand::Validate(args) => validate::run(args, session).await?,
        FunctionsCommand::Deploy(args) => Box::pin(deploy::run(args.or_by_name(), session)).await?,
        FunctionsCommand::Invoke(args) => return Box::pin(invoke::run(args, session, server)).await,
        FunctionsCommand::Logs(args) => Box::pin(logs::run(args, session)).await?,
        FunctionsCommand::Rollback(args) => rollback::run(args, session).await?,
        FunctionsCommand::Pause(args) => hold(&args.name, true, session).await?,
        FunctionsCommand::Resume(args) => hold(&args.name, false, session).await?,
        FunctionsCommand::Delete(args) => delete(args, session).await?,
        FunctionsCommand::List(_) => list(session).await?,
        FunctionsCommand::Get(args) => {
            let function = session.client()?.function(&args.name).await?;
            session.out.item(&function, function_table)?;
            if session.out.format == Format::Table && !function.manifest.is_empty() {
                session.out.line("")?;
                session.out.list(&function, &function.manifest, settings_table)?;
            }
        }
        FunctionsCommand::Url(args) => url(&args.name, session).await?,
        FunctionsCommand::Versions(args) => {
            let list = session.client()?.versions(&args.name).await?;
            session.out.list(&list, &list.versions, versions_table)?;
        }
        FunctionsCommand::Diff(args) => {
            let diff = session.client()?.diff(&args.name, args.from, args.to).await?;
            if diff.files.is_empty() && diff.settings.is_empty() {
                session.out.aside("both versions have the same files and settings");
            }
            session.out.item(&diff, diff_table)?;
        }
        FunctionsCommand::Deployments(args) => {
            let list = session.client()?.deployments(&args.name).await?;
            session.out.list(&list, &list.deployments, moves_table)?;
        }
        FunctionsCommand::BuildLog(args) => build_log(&args, session).await?,
        FunctionsCommand::Metrics(args) => {
            session.out.item(&session.client()?.metrics(&args.name).await?, metrics_table)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(session: &Session) -> anyhow::Result<()> {
    let functions = session.client()?.all_functions().await?;
    if functions.is_empty() {
        session.out.empty("no functions yet; try: faas init hello && faas deploy hello");
    }
    let list = FunctionList { functions, next: None };
    session.out.list(&list, &list.functions, list_table)
}

async fn url(name: &str, session: &Session) -> anyhow::Result<()> {
    let function = session.client()?.function(name).await?;
    match session.out.format {
        Format::Table if !serves(&function) => {
            let failure = Failure::usage(format!("`{}` has no URL: it has no http trigger", function.name));
            let hint =
                format!("call it with `faas invoke {}`, or add [[triggers]] with type = \"http\"", function.name);
            Err(Failure { exit: 1, ..failure.with_hint(hint) }.into())
        }
        Format::Table => session.out.line(&function.url),
        _ => session.out.json(&serde_json::json!({ "name": function.name, "url": function.url })),
    }
}

/// Whether a function's URL answers anything, as far as is known.
fn serves(function: &FunctionView) -> bool {
    function.settings.as_ref().is_none_or(|settings| has_http(&settings.triggers))
}

async fn build_log(args: &BuildLogArgs, session: &Session) -> anyhow::Result<()> {
    let version = args.version.map_or_else(|| "live".to_owned(), |number| number.to_string());
    let log = session.client()?.build_log(&args.name, &version).await?;
    if log.lines.is_empty() {
        session.out.aside("the build log is empty");
    }
    match session.out.format {
        Format::Table => log.lines.iter().try_for_each(|line| session.out.line(text::visible(&line.message)))?,
        Format::Json | Format::Ndjson => session.out.list(&log, &log.lines, |_| Table::of_properties())?,
    }
    if log.dropped > 0 {
        session.out.note(format_args!("{} more lines were not kept", log.dropped));
    }
    Ok(())
}

async fn hold(name: &str, paused: bool, session: &Session) -> anyhow::Result<()> {
    let function = session.client()?.pause_function(name, paused).await?;
    let report =
        serde_json::json!({ "name": function.name, "paused": function.paused, "waiting_runs": function.waiting_runs });
    let word = if paused { "paused" } else { "resumed" };
    session.out.done(format_args!("{word} {}; {} runs are waiting", function.name, function.waiting_runs), &report)
}

async fn delete(args: DeleteArgs, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    let mut names = args.names;
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let may_ask = std::io::stdin().is_terminal() && session.out.stderr_tty;
    if !args.yes && !may_ask {
        let listed = names.iter().map(|name| format!("`{}`", text::visible(name))).collect::<Vec<_>>().join(", ");
        let message = format!("cannot ask whether to delete {listed}, as there is no terminal");
        return Err(Failure::usage(message).with_hint("add --yes to delete without a question").into());
    }
    if !args.yes || names.len() > 1 {
        // A slip in one name shows before anything is gone, and before a question.
        let mut functions = Vec::with_capacity(names.len());
        for name in &names {
            functions.push(client.function(name).await?);
        }
        if !args.yes {
            confirm_delete(&functions, session)?;
        }
    }
    for name in &names {
        client.delete_function(name).await?;
        if names.len() > 1 && session.out.format == Format::Table {
            session.out.note(format_args!("deleted {}", text::visible(name)));
        }
    }
    let reports: Vec<_> = names.iter().map(|name| serde_json::json!({ "name": name, "deleted": true })).collect();
    match &reports[..] {
        [only] => session.out.done(format_args!("deleted {}", text::visible(&names[0])), only),
        several => session.out.list(&serde_json::json!({ "functions": several }), several, |_| Table::of_properties()),
    }
}

fn confirm_delete(functions: &[FunctionView], session: &Session) -> anyhow::Result<()> {
    let each = functions.iter().map(|function| {
        format!("`{}` with {}", function.name, text::counted(function.latest_version as usize, "version"))
    });
    session.out.note(format_args!("delete {}? [y/N]", each.collect::<Vec<_>>().join(", ")));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Failure { message: "not deleted".into(), exit: 1, ..Failure::default() }.into())
}

fn list_table(functions: &[FunctionView]) -> Table {
    let mut table = Table::with_headings(["NAME", "STATUS", "VERSION", "RUNTIME", "INSTANCES", "UPDATED", "URL"]);
    for function in functions {
        table.row([
            function.name.clone(),
            function.status.clone(),
            function.version.map_or_else(|| "-".to_owned(), |version| split_version(function, version)),
            function.settings.as_ref().map_or_else(|| "-".to_owned(), |settings| settings.runtime_exact.clone()),
            function.instances.to_string(),
            text::when(&function.updated_at),
            if serves(function) { function.url.clone() } else { "-".to_owned() },
        ]);
    }
    table
}

/// The version of `live`, and of the one that takes a share of its calls: `3`, `3 + 10 % to 4`.
fn split_version(function: &FunctionView, version: u32) -> String {
    let split = function.aliases.get("live").and_then(|live| live.split);
    split.map_or_else(|| version.to_string(), |split| format!("{version} + {} % to {}", split.percent, split.version))
}

fn function_table(function: &FunctionView) -> Table {
    let mut table = Table::of_properties();
    table.property("name", &function.name);
    table.property("id", &function.id);
    table.property("url", if serves(function) { &function.url } else { NO_HTTP });
    table.property("status", &function.status);
    let split = function.aliases.get("live").and_then(|live| live.split);
    let split = split.map(|split| format!(" ({} % of the calls go to {})", split.percent, split.version));
    table.maybe("version", function.version.map(|version| format!("{version}{}", split.unwrap_or_default())));
    table.property("latest", function.latest_version);
    table.property("instances", function.instances);
    let held = if function.paused { ", held back" } else { "" };
    table.property("waiting runs", format!("{}{held}", function.waiting_runs));
    if let Some(settings) = &function.settings {
        table.property("runtime", &settings.runtime_exact);
    }
    let by_hand =
        |by: &String| format!("set by {by} in place of the manifest's; see `faas network show {}`", function.name);
    table.maybe("network policy", function.network_set_by.as_ref().map(by_hand));
    table.property("created", text::dated(&function.created_at));
    table.property("updated", text::dated(&function.updated_at));
    table
}

/// The keys of a manifest, each with its value and where that came from.
fn settings_table(settings: &[SettingView]) -> Table {
    let mut table = Table::with_headings(["SETTING", "VALUE", "FROM"]);
    for SettingView { key, value, from } in settings {
        let value = match value {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let from = from.clone().unwrap_or_else(|| "unknown".to_owned());
        table.row([key.clone(), shortened(&value), from]);
    }
    table
}

/// Enough of a value to know it by; `-o json` has all of it.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn versions_table(versions: &[VersionView]) -> Table {
    let mut table =
        Table::with_headings(["VERSION", "ALIASES", "CREATED", "BY", "RUNTIME", "FILES", "SIZE", "DIGEST", "NOTE"]);
    for version in versions {
        table.row([
            version.number.to_string(),
            version.aliases.join(" "),
            text::when(&version.created_at),
            version.author.as_ref().map(|by| by.name.clone()).unwrap_or_default(),
            version.settings.runtime_exact.clone(),
            version.files.to_string(),
            text::bytes(version.size),
            version.digest.chars().take(12).collect(),
            version.note.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn diff_table(diff: &VersionDiff) -> Table {
    let mut table = Table::with_headings(["CHANGE", "WHAT", "FROM", "TO"]);
    let size = |size: Option<u64>| size.map_or_else(|| "-".to_owned(), text::bytes);
    for file in &diff.files {
        table.row([file.change.clone(), text::visible(&file.path), size(file.size_from), size(file.size_to)]);
    }
    let value =
        |value: &serde_json::Value| if value.is_null() { "-".to_owned() } else { text::visible(&value.to_string()) };
    for setting in &diff.settings {
        table.row(["setting".to_owned(), text::visible(&setting.key), value(&setting.from), value(&setting.to)]);
    }
    table
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

fn metrics_table(metrics: &FunctionMetrics) -> Table {
    let mut table = Table::of_properties();
    table.property("function", &metrics.function);
    table.property("invocations", metrics.invocations);
    table.property("errors", format!("{} ({:.1} %)", metrics.errors, metrics.error_rate * 100.0));
    table.property("cold starts", metrics.cold_starts);
    table.property("throttled", metrics.throttled);
    table.property("in flight", metrics.in_flight);
    table.property("instances", metrics.instances);
    if let Some(network) = &metrics.network {
        table.property(
            "connections",
            format!("{}, {} open, {} denied", network.connections, network.open, network.denied),
        );
        let (sent, received) = (text::bytes(network.sent_bytes), text::bytes(network.received_bytes));
        table.property("network", format!("{sent} sent, {received} received"));
    }
    let duration = &metrics.duration_ms;
    for (name, value) in [("avg", duration.avg), ("p50", duration.p50), ("p95", duration.p95), ("p99", duration.p99)] {
        table.maybe(name, value.map(text::millis));
    }
    table
}
