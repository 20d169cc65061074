//! The command line as a whole. Each command's own arguments live beside the command.

use clap::{Parser, Subcommand};
use faas_devloop::{dev, test};
use faas_terminal::global_args::GlobalArgs;

use crate::commands::{
    aliases, api, cache, callbacks, canary, collect, completion, deploy, deps, dlq, doctor, events, explain, functions,
    git, init, invoke, keys, layers, login, logs, network, pending, preflight, profiles, rollback, runs, secrets,
    status, topics, triggers, up, validate, vars, version,
};

/// Run functions on your own machines: deploy a file, get a URL.
#[derive(Debug, Parser)]
#[command(name = "faas", version, arg_required_else_help = true, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a server in the foreground
    Up(up::UpArgs),
    /// Check which isolation and network this machine can give functions
    Doctor(doctor::DoctorArgs),
    /// Write a new function to start from
    Init(init::InitArgs),
    /// Run a function on this machine and redeploy it at each change
    Dev(dev::DevArgs),
    /// Run a function's event files in a private server
    Test(test::TestArgs),
    /// Check a function before it is deployed
    Validate(validate::ValidateArgs),
    /// Deploy a directory or a single file and get its URL
    Deploy(deploy::DeployArgs),
    /// Compare what a function imports with what it declares
    Deps(deps::DepsArgs),
    /// List, show and delete functions
    #[command(
        name = "fn",
        visible_alias = "functions",
        subcommand,
        after_help = "Examples:\n  faas fn list\n  faas fn get hello\n  faas fn delete hello"
    )]
    Functions(functions::FunctionsCommand),
    /// Move a function back to an earlier version
    Rollback(rollback::RollbackArgs),
    /// Point names to versions, and split calls between two
    #[command(subcommand, after_help = "Examples:\n  faas alias list hello\n  faas alias set hello live 4=90 5=10")]
    Alias(aliases::AliasCommand),
    /// Watch, promote or abort the trial of a new version
    #[command(subcommand, after_help = "Examples:\n  faas canary status hello\n  faas canary abort hello")]
    Canary(canary::CanaryCommand),
    /// Call a function and print its answer
    Invoke(invoke::InvokeArgs),
    /// List, watch, cancel and replay runs
    Runs(runs::RunsArgs),
    /// List, retry and delete dead letters: runs that were given up
    #[command(
        subcommand,
        after_help = "Examples:\n  faas dlq list --function hello\n  faas dlq redrive --function hello"
    )]
    Dlq(dlq::DlqCommand),
    /// Print or follow the log of a function
    Logs(logs::LogsArgs),
    /// Show, change and sync the vars of functions and stages
    #[command(
        visible_alias = "env",
        subcommand,
        after_help = "Examples:\n  faas vars list hello\n  faas vars set hello GREETING=hi"
    )]
    Vars(vars::VarsCommand),
    /// Show, change and try what functions may connect to
    #[command(
        subcommand,
        after_help = "Examples:\n  faas network show weather\n  faas network set weather --allow api.example.com:443"
    )]
    Network(network::NetworkCommand),
    /// Set, list and restore secrets, and change their encryption key
    #[command(subcommand, after_help = "Examples:\n  faas secrets set STRIPE\n  faas secrets list")]
    Secrets(secrets::SecretsCommand),
    /// Add, list, test and change triggers: schedules, webhooks, events, topics
    #[command(
        subcommand,
        after_help = "Examples:\n  faas triggers list hello\n  faas triggers add hello cron --schedule '@daily'"
    )]
    Triggers(triggers::TriggersCommand),
    /// Publish events
    #[command(subcommand, after_help = "Examples:\n  faas events publish @event.json")]
    Events(events::EventsCommand),
    /// Send messages to topics and show what is waiting
    #[command(subcommand, after_help = "Examples:\n  faas topics list\n  faas topics send orders -d '{\"order\": 7}'")]
    Topics(topics::TopicsCommand),
    /// Store a key for a server and use that server
    Login(login::LoginArgs),
    /// Delete the stored key of a server
    Logout(login::LogoutArgs),
    /// Show which server and which key commands use
    Whoami(login::WhoamiArgs),
    /// List the servers with a stored key, and choose one
    #[command(subcommand, after_help = "Examples:\n  faas profile list\n  faas profile use http://10.0.0.5:8080")]
    Profile(profiles::ProfileCommand),
    /// Call any route of the server's API with your key
    Api(api::ApiArgs),
    /// Publish, list, show and remove shared layers
    #[command(
        subcommand,
        after_help = "Examples:\n  faas layers list\n  faas layers publish shared-utils ./lib\n  faas layers get shared-utils"
    )]
    Layers(layers::LayersCommand),
    /// Create, list and revoke API keys
    #[command(subcommand, after_help = "Examples:\n  faas keys create ci --scope functions:write\n  faas keys list")]
    Keys(keys::KeysCommand),
    /// Clear the cached answers of a function
    #[command(subcommand, after_help = "Examples:\n  faas cache purge hello")]
    Cache(cache::CacheCommand),
    /// Show and rotate the secret that signs callbacks
    #[command(subcommand, after_help = "Examples:\n  faas callbacks secret\n  faas callbacks rotate")]
    Callbacks(callbacks::CallbacksCommand),
    /// Show and change the rules that uploads are checked against
    #[command(subcommand, after_help = "Examples:\n  faas preflight get\n  faas preflight set rules.toml")]
    Preflight(preflight::PreflightCommand),
    /// Delete stored files that nothing uses any more
    #[command(visible_alias = "gc")]
    Collect(collect::CollectArgs),
    /// Deploy by `git push`
    #[command(subcommand, after_help = "Examples:\n  faas git remote\n  git push faas main")]
    Git(git::GitCommand),
    /// Run a command in a sandbox; not available yet
    #[command(hide = true)]
    Execute(pending::ExecuteArgs),
    /// Keep the state of a sandbox and go back to it; not available yet
    #[command(hide = true)]
    Snapshot(pending::SnapshotArgs),
    /// Explain an error code
    Explain(explain::ExplainArgs),
    /// Print a completion script for a shell
    Completion(completion::CompletionArgs),
    /// Show the server: isolation, runtimes, load
    Status(status::StatusArgs),
    /// Print the version of this program
    Version(version::VersionArgs),
}

const EXAMPLES: &str = "\
Examples:
  faas up                                   start a server on this machine
  faas init hello && faas deploy hello      make a function and deploy it
  faas invoke hello -d '{\"name\": \"Ada\"}'    call it
  faas logs hello -f                        watch what it prints
  faas explain FN_004                       read about an error

Exit codes:
  0 ok, 1 failure, 2 usage, 3 auth, 4 not found, 5 invalid, 6 conflict, 7 limit, 8 timeout, 9 unreachable";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Calls `check` with every command and its path.
    fn each_command(command: &clap::Command, path: &str, check: &mut impl FnMut(&clap::Command, &str)) {
        let path = format!("{path} {}", command.get_name());
        if command.has_subcommands() {
            if path != " faas" {
                check(command, path.trim());
            }
            command.get_subcommands().filter(|c| c.get_name() != "help").for_each(|c| each_command(c, &path, check));
        } else {
            check(command, path.trim());
        }
    }

    /// Splits a line as a shell does, as far as our examples go: up to a pipe, a redirection or an explanation.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for letter in line.split("   ").next().unwrap_or_default().chars() {
            match letter {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                other => words.last_mut().expect("never empty").push(other),
            }
        }
        words
            .into_iter()
            .take_while(|word| !["|", ">", "<", "&&"].contains(&word.as_str()))
            .filter(|w| !w.is_empty())
            .collect()
    }

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_has_examples_that_parse() {
        each_command(&Cli::command(), "", &mut |command, path| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  faas ")).collect();
            assert!(!examples.is_empty(), "{path} has no example");
            // A command that is also reachable by a shorter path may show that one.
            let short = path.replace("faas fn ", "faas ");
            assert!(
                examples.iter().any(|example| {
                    let example = format!("faas {example}");
                    example.starts_with(path) || example.starts_with(&short)
                }),
                "{path}: {examples:?}"
            );
            for example in examples {
                let args = std::iter::once("faas".to_owned()).chain(words(example));
                assert!(Cli::try_parse_from(args).is_ok(), "{path}: `faas {example}` does not parse");
            }
        });
    }

    #[test]
    fn the_reference_names_every_command() {
        let reference = include_str!("../../../docs/cli.md");
        each_command(&Cli::command(), "", &mut |command, path| {
            let is_group = command.has_subcommands();
            assert!(is_group || reference.contains(path), "docs/cli.md does not name `{path}`");
        });
    }
}
