//! `faas environments`: what sandboxes start from, which is not built yet, and `faas env` as specifications name it for vars.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use faas_terminal::session::Session;

use crate::commands::vars::{self, VarsCommand};
use crate::commands::{pending, vars_sync};

#[derive(Debug, Subcommand)]
pub(crate) enum EnvironmentsCommand {
    /// List environments; not built yet
    List(PendingArgs),
    /// Create an environment; not built yet
    Create(PendingArgs),
    /// Show an environment; not built yet
    Get(PendingArgs),
    /// Delete an environment; not built yet
    Delete(PendingArgs),
    /// The same as `faas vars pull`
    #[command(hide = true)]
    Pull(vars_sync::PullArgs),
    /// The same as `faas vars push`
    #[command(hide = true)]
    Push(vars_sync::PushArgs),
    /// The same as `faas vars diff`
    #[command(hide = true)]
    Diff(vars_sync::DiffArgs),
    /// The same as `faas vars set`
    #[command(hide = true)]
    Set(vars::SetArgs),
    /// The same as `faas vars delete`
    #[command(hide = true)]
    Unset(vars::DeleteArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas environments list\n  faas environments create my-env --base rust:latest\n  faas environments get my-env\n  faas environments delete my-env"
)]
pub(crate) struct PendingArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<OsString>,
}

pub(crate) async fn run(command: EnvironmentsCommand, session: &Session) -> anyhow::Result<ExitCode> {
    use EnvironmentsCommand as E;
    let verb = match command {
        E::Pull(args) => return vars::run(VarsCommand::Pull(args), session).await,
        E::Push(args) => return vars::run(VarsCommand::Push(args), session).await,
        E::Diff(args) => return vars::run(VarsCommand::Diff(args), session).await,
        E::Set(args) => return vars::run(VarsCommand::Set(args), session).await,
        E::Unset(args) => return vars::run(VarsCommand::Delete(args), session).await,
        E::List(_) => "list",
        E::Create(_) => "create",
        E::Get(_) => "get",
        E::Delete(_) => "delete",
    };
    Err(pending::refuse(&format!("environments {verb}")))
}
