//! `faas functions`

use std::collections::HashSet;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use faas_client::rest::{FunctionMetrics, FunctionView, SettingView};
use faas_client::{FunctionSort, ListFunctions};
use faas_devloop::dev::{self, DevArgs};
use faas_devloop::test::{self, TestArgs};
use faas_terminal::confirmation::Confirmation;
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use serde_json::Value;

use crate::ServerCommands;
use crate::commands::deploy::{self, DeployArgs, NO_HTTP, has_http};
use crate::commands::deployments;
use crate::commands::init::{self, InitArgs};
use crate::commands::invoke::{self, InvokeArgs};
use crate::commands::logs::{self, LogsArgs};
use crate::commands::rollback::{self, RollbackArgs};
use crate::commands::rows::{self, RowArgs};
use crate::commands::validate::{self, ValidateArgs};
use crate::commands::versions;

/// Characters of a setting's value that a table shows.
const VALUE_CHARS: usize = 60;

#[derive(Debug, Subcommand)]
pub(crate) enum FunctionsCommand {
    /// List functions
    List(ListArgs),
    /// Show a function
    Get(GetArgs),
    /// Print a function's URL
    Url(UrlArgs),
    /// Show a function's call counts, error rate and latency
    Metrics(MetricsArgs),
    /// Pause a function: its accepted runs wait
    Pause(PauseArgs),
    /// Resume a paused function
    Resume(ResumeArgs),
    /// Delete functions with their versions
    Delete(DeleteArgs),
    /// Write a new function to start from
    #[command(hide = true)]
    Init(InitArgs),
    /// Run a function on this machine and redeploy it at each change
    #[command(hide = true)]
    Dev(DevArgs),
    /// Run a function's event files in a private server
    #[command(hide = true)]
    Test(TestArgs),
    /// Check a function before it is deployed
    #[command(hide = true)]
    Validate(ValidateArgs),
    /// Deploy a directory, a file, or the function of this name here
    #[command(hide = true)]
    Deploy(DeployArgs),
    /// Move a function back to an earlier version
    #[command(hide = true)]
    Rollback(RollbackArgs),
    /// Call a function and print its answer
    #[command(hide = true)]
    Invoke(InvokeArgs),
    /// Print or follow the log of a function
    #[command(hide = true)]
    Logs(LogsArgs),
    /// List a function's versions, newest first
    #[command(hide = true)]
    Versions(versions::ListArgs),
    /// Show the differences of two versions: files and settings
    #[command(hide = true)]
    Diff(versions::DiffArgs),
    /// Print the build log of a version
    #[command(hide = true)]
    BuildLog(versions::LogArgs),
    /// List what moved a function's aliases, newest first
    #[command(hide = true)]
    Deployments(deployments::ListArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas functions list\n  faas functions list -n 20\n  faas functions list -o ndjson | jq .name"
)]
pub(crate) struct ListArgs {
    /// Functions whose name holds this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// The newest first, and not by name
    #[arg(long)]
    newest: bool,
    /// Paused functions
    #[arg(long)]
    paused: bool,
    #[command(flatten)]
    rows: RowArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas functions get hello\n  faas functions get hello -o json")]
pub(crate) struct GetArgs {
    /// The function
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas functions url hello")]
pub(crate) struct UrlArgs {
    /// The function
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas functions metrics hello\n  faas functions metrics hello -o json")]
pub(crate) struct MetricsArgs {
    /// The function
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas functions pause hello")]
pub(crate) struct PauseArgs {
    /// The function
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas functions resume hello")]
pub(crate) struct ResumeArgs {
    /// The function
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas functions delete hello\n  faas functions delete hello greet --yes")]
pub(crate) struct DeleteArgs {
    /// The functions; when one of them does not exist, none is deleted
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    confirmation: Confirmation,
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
        FunctionsCommand::List(args) => list(args, session).await?,
        FunctionsCommand::Get(args) => {
            let function = session.client()?.function(&args.name).await?;
            session.out.item(&function, function_table)?;
            if session.out.format == Format::Table && !function.manifest.is_empty() {
                session.out.line("")?;
                session.out.list(&function, &function.manifest, settings_table)?;
            }
        }
        FunctionsCommand::Url(args) => url(&args.name, session).await?,
        FunctionsCommand::Versions(args) => versions::list(&args, session).await?,
        FunctionsCommand::Diff(args) => versions::diff(&args, session).await?,
        FunctionsCommand::Deployments(args) => deployments::list(&args, session).await?,
        FunctionsCommand::BuildLog(args) => versions::log(&args, session).await?,
        FunctionsCommand::Metrics(args) => {
            session.out.item(&session.client()?.metrics(&args.name).await?, metrics_table)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: ListArgs, session: &Session) -> anyhow::Result<()> {
    let is_narrowed = args.search.is_some() || args.paused;
    let sort = args.newest.then_some(FunctionSort::CreatedAt);
    let query = ListFunctions { q: args.search, paused: args.paused.then_some(true), sort };
    let list = session.client()?.functions(&query, &args.rows.rows()).await?;
    let empty =
        if is_narrowed { "no functions match" } else { "no functions yet; try: faas init hello && faas deploy hello" };
    rows::print(&list, &session.out, empty, list_table)
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
        _ => session.out.json(&function),
    }
}

/// Whether a function's URL answers anything, as far as is known.
fn serves(function: &FunctionView) -> bool {
    function.settings.as_ref().is_none_or(|settings| has_http(&settings.triggers))
}

async fn hold(name: &str, paused: bool, session: &Session) -> anyhow::Result<()> {
    let function = session.client()?.pause_function(name, paused).await?;
    let word = if paused { "paused" } else { "resumed" };
    session.out.done(format_args!("{word} {}; {} runs are waiting", function.name, function.waiting_runs), &function)
}

async fn delete(args: DeleteArgs, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    let DeleteArgs { mut names, confirmation } = args;
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let listed = names.iter().map(|name| format!("`{}`", text::visible(name))).collect::<Vec<_>>().join(", ");
    confirmation.check(format_args!("delete {listed}"), &session.out)?;
    if !confirmation.yes || names.len() > 1 {
        // A slip in one name shows before anything is gone, and before a question.
        let mut each = Vec::with_capacity(names.len());
        for name in &names {
            let function = client.function(name).await?;
            let versions = text::counted(function.latest_version as usize, "version");
            each.push(format!("`{}` with {versions}", function.name));
        }
        confirmation.ask(format_args!("delete {}", each.join(", ")), &session.out)?;
    }
    for name in &names {
        client.delete_function(name).await?;
        session.out.remark(format_args!("deleted {}", text::visible(name)));
    }
    Ok(())
}

fn list_table(functions: &[FunctionView]) -> Table {
    let mut table = Table::with_headings(["NAME", "STATUS", "VERSION", "RUNTIME", "INSTANCES", "UPDATED", "URL"]);
    for function in functions {
        table.row([
            function.name.clone(),
            standing(function),
            function.version.map_or_else(|| "-".to_owned(), |version| split_version(function, version)),
            function.settings.as_ref().map_or_else(|| "-".to_owned(), |settings| settings.runtime_exact.clone()),
            function.instances.to_string(),
            text::when(&function.updated_at),
            if serves(function) { function.url.clone() } else { "-".to_owned() },
        ]);
    }
    table
}

/// Whether it can be called, and whether its background runs wait.
fn standing(function: &FunctionView) -> String {
    if function.paused { format!("{}, paused", function.status) } else { function.status.clone() }
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
    table.property("status", standing(function));
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
        |by: &String| format!("set by {by} in place of the manifest's; see `faas network get {}`", function.name);
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
