//! `faas dev`

mod deployer;
mod dev_reporter;
mod fire;
mod watcher;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use faas_client::Client;
use faas_client::rest::DeploymentView;
use serde_json::json;

use crate::local::{self, LocalArgs, LocalServer};
use crate::local_data;
use crate::reload_gate::ReloadFailure;
use crate::server_host::ServerHost;
use deployer::{Deployer, Outcome};
use dev_reporter::DevReporter;

use faas_source::location::or_here;
use faas_source::project;
use faas_terminal::failure::Failure;
use faas_terminal::profile::Profile;
use faas_terminal::session::Session;
use watcher::Watcher;

/// Run a function on this machine and redeploy it at each change
///
/// Starts a private server in this process with the real engine and sandbox, watches the directory, and prints calls and log lines
/// as they come. Everybody on this machine may call it, without a key. While a change is being deployed, calls wait for it. Errors
/// are printed, and the version before keeps serving. Vars of a local .env file win over the manifest's. Packages, limits and
/// interpreters follow the server's settings: FAAS_* variables and the file of --config. Ctrl-C ends it all.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct DevArgs {
    #[command(subcommand)]
    command: Option<DevCommand>,
    /// A directory with a manifest, or a single file [default: .]
    path: Option<PathBuf>,
    /// The port on 127.0.0.1 [default: any that is free]
    #[arg(short, long, default_value_t = 0, hide_default_value = true, value_name = "PORT")]
    port: u16,
    /// A file of KEY=VALUE lines whose vars win over the manifest's [default: .env in the directory]
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Ask callers for a key where the manifest does; without this, anybody on this machine may call the function
    #[arg(long)]
    private: bool,
    /// The default
    #[arg(long, hide = true, conflicts_with = "private")]
    public: bool,
    /// Open the function's URL in a browser
    #[arg(long)]
    open: bool,
    /// Where its state lives [default: .faas/dev in the project]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    local: LocalArgs,
}

/// What else `faas dev` does.
#[derive(Debug, Subcommand)]
enum DevCommand {
    /// Fire a trigger of the function that runs here, such as a schedule
    Fire(fire::FireArgs),
}

const EXAMPLES: &str = "\
Examples:
  faas dev
  faas dev hello --port 8787 --open
  faas dev hello.py
  faas dev hello --inspect
  faas dev hello --layer shared-utils=../shared
  faas dev fire cron-1";

/// The directory below `.faas/` for its state.
const PLACE: &str = "dev";
/// Pause before another try to follow the log.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs the command.
///
/// # Errors
/// The server cannot start, or the function cannot be read.
pub async fn run<S: ServerHost>(args: DevArgs, session: &Session, server: &S) -> anyhow::Result<()> {
    if let Some(DevCommand::Fire(args)) = args.command {
        return fire::run(args, session).await;
    }
    let path = or_here(args.path.clone());
    project::look(&path)?;
    let data = args.data.clone().unwrap_or_else(|| local_data::place(&path, PLACE));
    let config = args.local.config(&data, args.port, &session.out)?;
    session.out.aside("starting");
    let reporter = DevReporter::new(session.out.clone());
    let debugger = args.local.debugger(&path, &session.out)?;
    reporter.debugger(debugger.as_ref());
    let layers = args.local.layers().to_vec();
    let deployer = Deployer::new(path, args.env_file.clone(), !args.private, layers);
    server.host(config, debugger, async |local| develop(local, deployer, &reporter, &data, args.open).await).await?;
    session.out.aside("stopped");
    Ok(())
}

/// Serves and deploys until a signal or a failure that no edit can mend.
async fn develop(
    local: LocalServer,
    mut deployer: Deployer,
    reporter: &DevReporter,
    data: &Path,
    open: bool,
) -> anyhow::Result<()> {
    let client = local.client()?;
    let _kept = KeptKey::keep(&local, reporter);
    fire::announce(data, &local.endpoint)?;
    let mut watcher = Watcher::start(deployer.path(), deployer.env_file(), Arc::clone(&local.gate))?;
    let mut calls = local.calls;
    let name = deployer.name();
    let deploying = async {
        let mut wants_open = open;
        loop {
            let noticed = local.gate.noticed();
            if let Err(error) = watcher.refresh() {
                reporter.warn(&error);
            }
            match deployer.deploy(&client, local.debuggee.as_ref()).await {
                Outcome::Deployed(deployment, took) => {
                    fire::announce_function(data, &deployment.function)?;
                    local.gate.set_failure(None);
                    local::not_installed(&deployment).iter().for_each(|note| reporter.remark(note));
                    local.gate.set_opened(deployer.is_opened());
                    if !reporter.deployed(&deployment, took) && !deployer.is_public() && deployment.http {
                        reporter.key(&deployment.url, data);
                    }
                    if std::mem::take(&mut wants_open) {
                        open_url(&deployment, deployer.is_public(), reporter);
                    }
                }
                Outcome::Failed(failure) => {
                    if !reporter.failed(&failure) {
                        local.gate.set_failure(Some(reload_failure(&failure)));
                        reporter.remark(format_args!(
                            "  nothing serves yet: {} answers with this until it is fixed",
                            local.endpoint
                        ));
                    }
                }
                Outcome::Mended => reporter.mended(),
                Outcome::Unchanged => {}
            }
            local.gate.serve(noticed);
            watcher.changed().await;
        }
    };
    let telling = async {
        while let Some(call) = calls.recv().await {
            reporter.call(&call);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        outcome = deploying => outcome,
        () = telling => Ok(()),
        () = print_log(&client, reporter) => Ok(()),
        () = fire::obey(&client, &name, reporter) => Ok(()),
    }
}

/// Follows the log of all that runs here.
async fn print_log(client: &Client, reporter: &DevReporter) {
    loop {
        let _: anyhow::Result<()> = async {
            let mut follower = dev_reporter::follow(client).await?;
            while let Some(line) = follower.next().await? {
                reporter.log(&line);
            }
            Ok(())
        }
        .await;
        tokio::time::sleep(PAUSE).await;
    }
}

fn open_url(deployment: &DeploymentView, is_public: bool, reporter: &DevReporter) {
    if !deployment.http {
        reporter.remark("there is no page to open: the function has no http trigger");
        return;
    }
    if !is_public {
        reporter.remark("a browser has no key for a private function; leave --private out to open it");
        return;
    }
    let mut opener = Command::new("xdg-open");
    opener.arg(&deployment.url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = opener.spawn().context("cannot run xdg-open") {
        reporter.warn(&error);
    }
}

/// A failure as the answer to calls of what does not serve yet.
fn reload_failure(failure: &Failure) -> ReloadFailure {
    let mut lines = vec![format!("{}: {}", failure.head(), failure.message)];
    lines.extend(failure.further_lines());
    let problem = json!({
        "title": "the function does not load",
        "status": 503,
        "code": failure.code,
        "detail": failure.message,
        "details": failure.details,
        "hint": failure.hint,
    });
    ReloadFailure { text: format!("{}\n", lines.join("\n")), problem }
}

/// The key of this server in the profile, so that other commands with its endpoint need none; gone with this.
struct KeptKey(String);

impl KeptKey {
    fn keep(local: &LocalServer, reporter: &DevReporter) -> Self {
        if let Err(error) = Profile::keep(&local.endpoint, &local.key) {
            reporter.warn(&error);
        }
        Self(local.endpoint.clone())
    }
}

impl Drop for KeptKey {
    fn drop(&mut self) {
        // A profile that could not be written has nothing to forget.
        let _ = Profile::forget(&self.0);
    }
}
