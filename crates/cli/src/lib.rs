//! Commands and their output.
//!
//! Standard output is data, standard error is everything else. Every failure names the next action and ends with
//! the exit code of its catalogue entry.

mod args;
mod bundle;
mod checks;
mod commands;
mod debugger;
mod deps;
mod env_file;
mod failure;
mod interpreter;
mod lobby;
mod local;
mod local_layers;
mod output;
mod profile;
mod project;
mod python;
mod session;
mod source;
mod table;
mod text;
mod timeline;

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;

use clap::Parser;
use faas_config::ServerConfig;
use faas_types::IsolationReport;

use crate::args::Cli;
use crate::output::Output;
use crate::session::Session;

pub use crate::debugger::Debugger;
pub use crate::failure::Failure;
pub use crate::lobby::{CallSeen, Lobby};
pub use crate::local::LocalServer;
pub use crate::profile::Profile;
pub use faas_config::error_page;

/// What only the whole binary can do, since this crate knows neither engine nor sandbox.
pub trait ServerCommands {
    /// Runs a server until it is told to stop. Called at most once.
    fn up(&self, config: ServerConfig) -> impl Future<Output = anyhow::Result<()>>;

    /// Runs a private server in this process for as long as `work` takes, then takes it down with all it has started.
    /// `None` when a signal ended it first. Nothing but `debugger` lets debuggers in: what a server is configured with and
    /// asked for does not.
    fn host<T, W>(
        &self,
        config: ServerConfig,
        debugger: Option<Debugger>,
        work: W,
    ) -> impl Future<Output = anyhow::Result<Option<T>>>
    where
        W: AsyncFnOnce(LocalServer) -> anyhow::Result<T>;

    /// Probes in a throwaway sandbox what this machine can enforce. May take a second. Fails when probing itself is
    /// impossible; a missing feature is part of the report.
    fn doctor(&self) -> impl Future<Output = anyhow::Result<IsolationReport>>;
}

/// Runs one command line, the program's name first, and says how the process should end.
pub async fn run<S: ServerCommands>(args: impl IntoIterator<Item = OsString>, server: &S) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(command) = commands::pending::of_environments(&args) {
        let failure = Failure::from_error(&commands::pending::refuse(command));
        Output::detect(args::Format::Table).failure(&failure);
        return ExitCode::from(failure.exit);
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; a closed pipe is no reason to fail.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let out = Output::detect(cli.global.output);
    let session = Session::new(cli.global, out);
    match commands::dispatch(cli.command, &session, server).await {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let failure = Failure::from_error(&error);
            session.out.failure(&failure);
            ExitCode::from(failure.exit)
        }
    }
}
