//! `faas dev fire`: the triggers of a function that runs here, fired by hand.

use std::fs;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use anyhow::Context;
use clap::Args;
use faas_client::{ApiKey, Client, Connection, Rows};
use faas_source::location::or_here;
use faas_terminal::body_argument::read_body;
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_types::Code;
use serde_json::json;
use tokio::sync::mpsc;

use super::PLACE;
use super::deployer::CurrentName;
use super::dev_reporter::DevReporter;
use crate::local;
use crate::local_data;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas dev fire cron-1\n  faas dev fire orders hello -d '{\"order\": 7}'")]
pub(super) struct FireArgs {
    /// The trigger
    trigger: String,
    /// The directory that `faas dev` was given [default: .]
    path: Option<PathBuf>,
    /// What is delivered: text, @FILE, or - for standard input
    #[arg(short = 'd', long, value_name = "BODY", allow_hyphen_values = true)]
    body: Option<String>,
    /// The state that `faas dev` was given [default: .faas/dev in the project]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Where a running `faas dev` says how it is spoken to.
const ENDPOINT_FILE: &str = "dev-endpoint";
/// Where it says which function runs.
const FUNCTION_FILE: &str = "dev-function";
/// As the server writes it.
const KEY_FILE: &str = "admin.key";

/// Lets other processes of this user find the server.
pub(super) fn announce(data: &Path, endpoint: &str) -> anyhow::Result<()> {
    write(&data.join(ENDPOINT_FILE), endpoint)
}

/// Tells them what it runs.
pub(super) fn announce_function(data: &Path, function: &str) -> anyhow::Result<()> {
    write(&data.join(FUNCTION_FILE), function)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

pub(super) async fn run(args: FireArgs, session: &Session) -> anyhow::Result<()> {
    let data = args.data.unwrap_or_else(|| local_data::place(&or_here(args.path), PLACE));
    let read = |file: &str| {
        fs::read_to_string(data.join(file)).map(|text| text.trim().to_owned()).map_err(|_| {
            Failure::of(Code::NotFound, format!("`faas dev` does not run with {}", data.display()))
                .with_hint("start it in another terminal, and name the same directory here")
        })
    };
    let (endpoint, function, key) = (read(ENDPOINT_FILE)?, read(FUNCTION_FILE)?, read(KEY_FILE)?);
    let client = Client::new(Connection::new(&endpoint, Some(ApiKey::new(&key)?))?)?;
    let body = args.body.as_deref().map(read_body).transpose()?.unwrap_or_default();
    let run = local::fire(&client, &function, &args.trigger, body).await?;
    match session.out.format {
        Format::Table => session.out.line(run),
        _ => session.out.json(&json!({ "run_id": run })),
    }
}

/// On a terminal: a line with a trigger's name fires it, an empty one lists them. Elsewhere nothing is read.
pub(super) async fn obey(client: &Client, name: &CurrentName, reporter: &DevReporter) {
    let mut lines = lines_of_terminal();
    while let Some(line) = lines.recv().await {
        let Some(function) = name.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(ToString::to_string)
        else {
            continue;
        };
        let outcome = if line.is_empty() {
            list(client, &function, reporter).await
        } else {
            fire(client, &function, &line, reporter).await
        };
        if let Err(error) = outcome {
            reporter.warn(&error);
        }
    }
    std::future::pending::<()>().await;
}

async fn list(client: &Client, function: &str, reporter: &DevReporter) -> anyhow::Result<()> {
    let triggers = client.triggers(function, &Rows::all()).await?.items;
    let names: Vec<_> = triggers.iter().map(|trigger| trigger.name.as_str()).collect();
    reporter.remark(if names.is_empty() {
        "there is no trigger to fire".to_owned()
    } else {
        format!("type a trigger's name to fire it: {}", names.join(", "))
    });
    Ok(())
}

async fn fire(client: &Client, function: &str, trigger: &str, reporter: &DevReporter) -> anyhow::Result<()> {
    let run = local::fire(client, function, trigger, Vec::new()).await?;
    reporter.fired(trigger, &run);
    Ok(())
}

/// What a person types. The thread ends with the process: nothing can wake it from reading a terminal.
fn lines_of_terminal() -> mpsc::Receiver<String> {
    let (typed, lines) = mpsc::channel(16);
    if std::io::stdin().is_terminal() {
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                if typed.blocking_send(line.trim().to_owned()).is_err() {
                    return;
                }
            }
        });
    }
    lines
}
