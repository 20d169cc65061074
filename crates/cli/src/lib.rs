//! Commands and their output.
//!
//! Standard output is data, standard error is everything else. Every failure names the next action and ends with
//! the exit code of its catalogue entry.

#[cfg(test)]
mod advice_tests;
mod args;
mod commands;
mod dispatch;
mod habits;
mod help;
#[cfg(test)]
mod reference_tests;
mod suggest;
mod timeline;

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;

use clap::FromArgMatches;
use faas_config::ServerConfig;
use faas_devloop::ServerHost;
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::output::{self, Output};
use faas_terminal::session::Session;
use faas_terminal::text;
use faas_types::IsolationReport;

use crate::args::Cli;

pub use faas_config::error_page;

/// What only the whole binary can do, since this crate knows neither engine nor sandbox.
pub trait ServerCommands: ServerHost {
    /// Runs a server until it is told to stop. Called at most once.
    fn up(&self, config: ServerConfig) -> impl Future<Output = anyhow::Result<()>>;

    /// Probes in a throwaway sandbox what this machine can enforce. May take a second. Fails when probing itself is
    /// impossible; a missing feature is part of the report.
    fn doctor(&self) -> impl Future<Output = anyhow::Result<IsolationReport>>;
}

/// Runs one command line, the program's name first, and says how the process should end.
pub async fn run<S: ServerCommands>(args: impl IntoIterator<Item = OsString>, server: &S) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match parse(&args) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, &args),
    };
    let out = Output::detect(cli.global.format());
    let session = Session::new(cli.global, out);
    match dispatch::dispatch(cli.command, &session, server).await {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let failure = suggest::name_function(Failure::from_error(&error), &session).await;
            session.out.failure(&failure);
            ExitCode::from(failure.exit)
        }
    }
}

/// Reads a command line. A group without a command lists, where it has something to list, and the habits of other tools
/// that mean one command do what it does.
fn parse(args: &[OsString]) -> Result<Cli, clap::Error> {
    let read = |args: &[OsString]| Cli::from_arg_matches(&help::command().try_get_matches_from(args)?);
    let meant = |error: &clap::Error| suggest::listing(error, args).or_else(|| habits::of_other_tools(error, args));
    read(args).or_else(|error| meant(&error).map_or(Err(error), |args| read(&args)))
}

/// Says why a command line cannot be read, and what was probably meant.
fn refuse(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let out = Output::detect(if habits::wants_json(args) { Format::Json } else { Format::Table });
    let in_json = || (out.format == Format::Json && error.use_stderr()).then(|| suggest::as_failure(error));
    if let Some(failure) = suggest::explain(error, args).or_else(in_json) {
        out.failure(&failure);
        return ExitCode::from(failure.exit);
    }
    // Help and version come this way too; a closed pipe is no reason to fail.
    if is_plain(args) {
        let _ = error.print();
    } else {
        // The parser repeats words as they are.
        out.note(error.to_string().trim_end());
    }
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

/// Whether a terminal may be shown all words as they are.
fn is_plain(args: &[OsString]) -> bool {
    args.iter().all(|word| word.to_str().is_some_and(|word| text::visible(word) == word))
}
