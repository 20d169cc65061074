//! Commands of the specification that need sandboxes by hand, which are not built yet.

use std::ffi::OsString;

use clap::Args;
use faas_terminal::failure::Failure;

/// Run a command in a sandbox; not available yet
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas execute 'echo hello' --env alpine-fast")]
pub(crate) struct ExecuteArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<OsString>,
}

/// Keep the state of a sandbox and go back to it; not available yet
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas snapshot create --execution-id abc123 --name checkpoint-1")]
pub(crate) struct SnapshotArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<OsString>,
}

/// What such a command answers.
pub(crate) fn refuse(command: &str) -> anyhow::Error {
    let message = format!("`faas {command}` is not built yet: it needs sandboxes that are used by hand");
    let failure = Failure { message, exit: 1, ..Failure::default() };
    let hint = match command {
        "env list" => "for variables see `faas vars list`; functions run in sandboxes today: see `faas deploy --help`",
        _ => "functions run in sandboxes today: see `faas init --help` and `faas deploy --help`",
    };
    failure.with_hint(hint).into()
}

/// `faas env` means vars, unless the words are those of environments: `list` without a function, and `create`.
pub(crate) fn of_environments(args: &[OsString]) -> Option<&'static str> {
    let words: Vec<&str> = args.iter().skip(1).filter_map(|word| word.to_str()).collect();
    match words[..] {
        ["env", "list"] => Some("env list"),
        ["env", "create", ..] => Some("env create"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vars_are_not_environments() {
        let of = |line: &str| of_environments(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(of("faas env list"), Some("env list"));
        assert_eq!(of("faas env create my-env --base rust:latest"), Some("env create"));
        assert_eq!((of("faas env list hello"), of("faas env set hello A=b"), of("faas")), (None, None, None));
    }
}
