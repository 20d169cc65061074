//! The command line as a whole. Each command's own arguments live beside the command.

use clap::{Parser, Subcommand};
use faas_devloop::{dev, test};
use faas_terminal::global_args::GlobalArgs;

use crate::commands::{
    aliases, api, cache, callbacks, completion, dead_letters, deploy, deployments, deps, doctor, environments, events,
    explain, functions, gc, git, init, invoke, keys, layers, login, logs, network, pending, profiles, rollback,
    rollouts, runs, secrets, settings, status, topics, triggers, up, upload_policy, validate, vars, version, versions,
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

/// Nouns are plural, and each verb has one meaning: `list`, `get`, `create`, `set`, `delete`, and `purge` for contents.
/// Other words for them are aliases that no help shows: of verbs in `habits`, of nouns here. A command whose arguments
/// have a text of several paragraphs takes that text.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::InitArgs),
    Dev(dev::DevArgs),
    Test(test::TestArgs),
    Validate(validate::ValidateArgs),
    #[command(alias = "dependencies")]
    Deps(deps::DepsArgs),

    Deploy(deploy::DeployArgs),
    Rollback(rollback::RollbackArgs),
    /// List, show, pause and delete functions
    #[command(
        aliases = ["function", "fn", "fns", "func", "lambda", "lambdas"],
        subcommand,
        after_help = "Examples:\n  faas functions list\n  faas functions get hello\n  faas functions delete hello"
    )]
    Functions(functions::FunctionsCommand),
    /// List and compare the versions of a function, and print their build logs
    #[command(
        subcommand,
        after_help = "Examples:\n  faas versions list hello\n  faas versions diff hello 3 5\n  faas versions log hello 3"
    )]
    Versions(versions::VersionsCommand),
    /// List what moved the aliases of a function
    #[command(alias = "deployment", subcommand, after_help = "Examples:\n  faas deployments list hello")]
    Deployments(deployments::DeploymentsCommand),
    /// Point names to versions, and split calls between two
    #[command(
        alias = "alias",
        subcommand,
        after_help = "Examples:\n  faas aliases list hello\n  faas aliases set hello live 4=90 5=10"
    )]
    Aliases(aliases::AliasesCommand),
    /// Watch, promote or abort the gradual rollout of a version
    #[command(
        aliases = ["rollout", "canary", "canaries"],
        subcommand,
        after_help = "Examples:\n  faas rollouts get hello\n  faas rollouts abort hello"
    )]
    Rollouts(rollouts::RolloutsCommand),
    /// Publish, list, show and delete shared layers
    #[command(
        alias = "layer",
        subcommand,
        after_help = "Examples:\n  faas layers list\n  faas layers publish shared-utils ./lib\n  faas layers get shared-utils"
    )]
    Layers(layers::LayersCommand),
    /// Deploy by `git push`
    #[command(subcommand, after_help = "Examples:\n  faas git remote\n  git push faas main")]
    Git(git::GitCommand),

    Invoke(invoke::InvokeArgs),
    /// List, watch, cancel and replay runs
    #[command(alias = "run")]
    Runs(runs::RunsArgs),
    /// Print or follow the log of a function
    #[command(alias = "log")]
    Logs(logs::LogsArgs),
    /// Create, list, test and change triggers: schedules, webhooks, events, topics
    #[command(
        alias = "trigger",
        subcommand,
        after_help = "Examples:\n  faas triggers list hello\n  faas triggers create hello cron --schedule '@daily'"
    )]
    Triggers(triggers::TriggersCommand),
    /// Publish events
    #[command(alias = "event", subcommand, after_help = "Examples:\n  faas events publish @event.json")]
    Events(events::EventsCommand),
    /// Send messages to topics and show what is waiting
    #[command(
        alias = "topic",
        subcommand,
        after_help = "Examples:\n  faas topics list\n  faas topics send orders -d '{\"order\": 7}'"
    )]
    Topics(topics::TopicsCommand),
    /// List, retry and purge dead letters: runs that were given up
    #[command(
        visible_alias = "dlq",
        alias = "dead-letter",
        subcommand,
        after_help = "Examples:\n  faas dead-letters list --function hello\n  faas dead-letters redrive --function hello"
    )]
    DeadLetters(dead_letters::DeadLettersCommand),

    /// Show, change and try what functions may connect to
    #[command(
        subcommand,
        after_help = "Examples:\n  faas network get weather\n  faas network set weather --allow api.example.com:443"
    )]
    Network(network::NetworkCommand),
    /// Run a command in a sandbox; not built yet
    #[command(hide = true, alias = "exec")]
    Execute(pending::ExecuteArgs),
    /// List and stop executions; not built yet
    #[command(hide = true, alias = "execution")]
    Executions(pending::ExecutionsArgs),
    /// Create, use and delete sandboxes; not built yet
    #[command(hide = true, alias = "sandbox")]
    Sandboxes(pending::SandboxesArgs),
    /// What sandboxes start from; not built yet
    #[command(
        hide = true,
        aliases = ["env", "environment"],
        subcommand,
        after_help = "Examples:\n  faas environments list"
    )]
    Environments(environments::EnvironmentsCommand),
    /// Keep the state of a sandbox and go back to it; not built yet
    #[command(hide = true, alias = "snapshot")]
    Snapshots(pending::SnapshotsArgs),

    /// Show, change and sync the vars of functions and stages
    #[command(
        aliases = ["var", "variables"],
        subcommand,
        after_help = "Examples:\n  faas vars list hello\n  faas vars set hello GREETING=hi"
    )]
    Vars(vars::VarsCommand),
    /// Set, list and restore secrets, and change their encryption key
    #[command(alias = "secret", subcommand, after_help = "Examples:\n  faas secrets set STRIPE\n  faas secrets list")]
    Secrets(secrets::SecretsCommand),
    /// Show and change settings of the project: upload rules, signing of callbacks
    #[command(
        alias = "setting",
        subcommand,
        after_help = "Examples:\n  faas settings upload-policy get\n  faas settings callbacks rotate"
    )]
    Settings(settings::SettingsCommand),
    /// The same as `faas settings callbacks`
    #[command(
        hide = true,
        alias = "callback",
        subcommand,
        after_help = "Examples:\n  faas callbacks get\n  faas callbacks rotate"
    )]
    Callbacks(callbacks::CallbacksCommand),
    /// The same as `faas settings upload-policy`
    #[command(
        name = "preflight",
        hide = true,
        subcommand,
        after_help = "Examples:\n  faas preflight get\n  faas preflight set rules.toml"
    )]
    UploadPolicy(upload_policy::UploadPolicyCommand),

    Login(login::LoginArgs),
    /// Delete the stored key of a server
    Logout(login::LogoutArgs),
    /// Show which server and which key commands use
    Whoami(login::WhoamiArgs),
    /// List the servers with a stored key, and choose one
    #[command(
        aliases = ["profile", "context", "contexts"],
        subcommand,
        after_help = "Examples:\n  faas profiles list\n  faas profiles use http://10.0.0.5:8080"
    )]
    Profiles(profiles::ProfilesCommand),
    /// Create, list and revoke API keys
    #[command(
        aliases = ["key", "token", "tokens"],
        subcommand,
        after_help = "Examples:\n  faas keys create github --preset ci\n  faas keys list"
    )]
    Keys(keys::KeysCommand),

    /// Start a server in the foreground
    Up(up::UpArgs),
    /// Show the server: isolation, runtimes, load
    Status(status::StatusArgs),
    Doctor(doctor::DoctorArgs),
    /// Delete stored files that nothing uses any more
    #[command(alias = "collect")]
    Gc(gc::GcArgs),
    /// Clear the cached answers of a function
    #[command(alias = "caches", subcommand, after_help = "Examples:\n  faas cache purge hello")]
    Cache(cache::CacheCommand),

    Api(api::ApiArgs),
    Explain(explain::ExplainArgs),
    /// Print a completion script for a shell
    #[command(alias = "completions")]
    Completion(completion::CompletionArgs),
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
    use std::collections::{BTreeMap, BTreeSet};

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

    /// Flags that take different things of commands which have nothing in common: what a schedule calls with and what a run
    /// was called with; the filter of the server's log and what is logged of connections.
    const TWO_MEANINGS: [&str; 2] = ["input", "log"];

    #[test]
    fn every_flag_has_one_meaning() {
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut longs: BTreeMap<char, BTreeSet<String>> = BTreeMap::new();
        each_command(&Cli::command(), "", &mut |command, _| {
            for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
                let long = arg.get_long().expect("every option has a long name").to_owned();
                let names = arg.get_value_names().unwrap_or_default().join(" ");
                let value = if arg.get_action().takes_values() { names } else { String::new() };
                if let Some(short) = arg.get_short() {
                    longs.entry(short).or_default().insert(long.clone());
                }
                values.entry(long).or_default().insert(value);
            }
        });
        let several: Vec<_> =
            values.iter().filter(|(long, values)| values.len() > 1 && !TWO_MEANINGS.contains(&long.as_str())).collect();
        assert!(several.is_empty(), "flags that take different things: {several:?}");
        let several: Vec<_> = longs.iter().filter(|(_, longs)| longs.len() > 1).collect();
        assert!(several.is_empty(), "letters of different flags: {several:?}");
    }

    #[test]
    fn every_help_has_examples_that_parse() {
        each_command(&Cli::command(), "", &mut |command, path| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  faas ")).collect();
            assert!(!examples.is_empty(), "{path} has no example");
            // A command that is also reachable by a shorter path may show that one.
            let short = path.replace("faas functions ", "faas ");
            let moved = [
                ("faas functions versions", "faas versions list"),
                ("faas functions diff", "faas versions diff"),
                ("faas functions build-log", "faas versions log"),
                ("faas functions deployments", "faas deployments list"),
                ("faas environments pull", "faas vars pull"),
                ("faas environments push", "faas vars push"),
                ("faas environments diff", "faas vars diff"),
                ("faas environments set", "faas vars set"),
                ("faas environments unset", "faas vars delete"),
                ("faas callbacks ", "faas settings callbacks "),
                ("faas preflight ", "faas settings upload-policy "),
            ];
            let elsewhere = moved.iter().find(|(own, _)| path.starts_with(own));
            let elsewhere = elsewhere.map_or_else(|| path.to_owned(), |(own, shown)| path.replacen(own, shown, 1));
            assert!(
                examples.iter().any(|example| {
                    let example = format!("faas {example}");
                    example.starts_with(path) || example.starts_with(&short) || example.starts_with(&elsewhere)
                }),
                "{path}: {examples:?}"
            );
            for example in examples {
                let args = std::iter::once("faas".to_owned()).chain(words(example));
                assert!(Cli::try_parse_from(args).is_ok(), "{path}: `faas {example}` does not parse");
            }
        });
    }
}
