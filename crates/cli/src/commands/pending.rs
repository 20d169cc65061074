//! Commands of the specification that need sandboxes by hand, which are not built yet.

use std::ffi::OsString;

use clap::Args;
use faas_terminal::failure::Failure;

/// Run a command in a sandbox; not built yet
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas execute 'echo hello' --env alpine-fast")]
pub(crate) struct ExecuteArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<OsString>,
}

/// List and stop executions; not built yet
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas executions list")]
pub(crate) struct ExecutionsArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<OsString>,
}

/// Create, use and delete sandboxes; not built yet
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas sandboxes create --environment python")]
pub(crate) struct SandboxesArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<OsString>,
}

/// Keep the state of a sandbox and go back to it; not built yet
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas snapshots create --execution-id abc123 --name checkpoint-1")]
pub(crate) struct SnapshotsArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<OsString>,
}

/// What such a command answers.
pub(crate) fn refuse(command: &str) -> anyhow::Error {
    let message = format!("`faas {command}` is not built yet: it needs sandboxes that are used by hand");
    let failure = Failure { message, exit: 1, ..Failure::default() };
    let hint = if command.starts_with("environments") {
        "for variables see `faas vars list`; functions run in sandboxes today: see `faas deploy --help`"
    } else {
        "functions run in sandboxes today: see `faas init --help` and `faas deploy --help`"
    };
    failure.with_hint(hint).into()
}
