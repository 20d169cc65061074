//! The command line's way into the server: `faas up`, `faas doctor`, and the commands that host a private one.

use std::num::NonZero;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use faas_cli::ServerCommands;
use faas_config::{ServerConfig, unknown_variables};
use faas_devloop::{Debugger, LocalServer, ServerHost};
use faas_ports::Sandboxes;
use faas_sandbox::{LinuxSandboxes, SandboxConfig, SpawnerCommand, give_way_to_calls};
use faas_source::scratch::Scratch;
use faas_types::IsolationReport;
use tokio::runtime;

use crate::{NETWORK, SPAWNER, logging, server};

/// Words that make a command line one that serves. Where one means something else, more threads do no harm.
const SERVING: [&str; 4] = ["up", "dev", "test", "--local"];

/// What only the whole binary can do.
struct Local;

/// Runs the command line. Client commands are content with one thread; a server takes what the machine has.
pub(crate) fn run_command_line() -> ExitCode {
    let is_server = std::env::args_os().skip(1).any(|word| SERVING.iter().any(|command| word == *command));
    let mut builder = if is_server { serving() } else { runtime::Builder::new_current_thread() };
    match builder.enable_all().build() {
        Ok(runtime) => runtime.block_on(faas_cli::run(std::env::args_os(), &Local)),
        Err(_) => ExitCode::FAILURE,
    }
}

/// The threads of a server. Those that block, with files and the database's readers, give way to the workers, which drive
/// the connections.
fn serving() -> runtime::Builder {
    const BLOCKING: &str = "blocking";
    let mut builder = runtime::Builder::new_multi_thread();
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    // The runtime starts its workers first, and names threads in their order.
    let named = AtomicUsize::new(0);
    builder.worker_threads(workers).thread_name_fn(move || {
        if named.fetch_add(1, Ordering::Relaxed) < workers { "worker".to_owned() } else { BLOCKING.to_owned() }
    });
    builder.on_thread_start(|| {
        if std::thread::current().name() == Some(BLOCKING) {
            give_way_to_calls(true);
        }
    });
    builder
}

// === impl Local ===

impl ServerHost for Local {
    async fn host<T, W>(&self, config: ServerConfig, debugger: Option<Debugger>, work: W) -> Result<Option<T>>
    where
        W: AsyncFnOnce(LocalServer) -> Result<T>,
    {
        logging::start(&config.log);
        server::host(config, debugger, work).await
    }
}

impl ServerCommands for Local {
    async fn up(&self, config: ServerConfig) -> Result<()> {
        logging::start(&config.log);
        warn_of_unknown_variables();
        server::run(config).await
    }

    async fn doctor(&self) -> Result<IsolationReport> {
        let scratch = Scratch::new().context("cannot make a temporary directory")?;
        let mut config =
            SandboxConfig::new(std::path::absolute(scratch.path())?, SpawnerCommand::this_program(SPAWNER));
        config.network = Some(SpawnerCommand::this_program(NETWORK));
        let report = LinuxSandboxes::start(config).await.map(|sandboxes| sandboxes.report().clone());
        report.context("cannot probe this machine")
    }
}

/// A setting with a typo in its name would go without a word.
fn warn_of_unknown_variables() {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for unknown in unknown_variables(names) {
        let name = unknown.name;
        match unknown.meant {
            Some(meant) => tracing::warn!(name, "the environment has a setting that there is not; was {meant} meant?"),
            None => tracing::warn!(name, "the environment has a setting that there is not"),
        }
    }
}
