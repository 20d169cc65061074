//! What was probably meant by a command line or a name that does not exist.

use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use faas_client::{ListFunctions, Rows};
use faas_terminal::failure::Failure;
use faas_terminal::session::Session;
use faas_terminal::text::visible;
use faas_types::Code;

use crate::habits::WITH_VALUE;
use crate::help;

/// How alike two names must be for one to be a slip of the other: from 0 to 1.
const ALIKE: f64 = 0.8;
/// How alike they must be to come before a word of the same meaning.
const NEARLY_THE_SAME: f64 = 0.92;
/// Words that people use for the same thing, here and in other tools.
const MEANINGS: [&[&str]; 26] = [
    &["list", "ls", "ps", "all"],
    &["delete", "remove", "rm", "del", "destroy", "drop", "unset", "revoke", "purge", "undeploy", "uninstall"],
    &["get", "show", "describe", "inspect", "info", "view"],
    &["set", "add", "create", "put", "update", "edit", "new"],
    &["init", "new", "create", "scaffold"],
    &["up", "serve", "server", "start", "daemon"],
    &["deploy", "push", "publish", "release", "ship", "apply"],
    &["invoke", "call", "curl", "trigger"],
    &["runs", "executions", "invocations", "jobs", "history"],
    &["logs", "tail", "journal"],
    &["functions", "apps", "services"],
    &["vars", "config"],
    &["triggers", "schedule", "schedules", "cron", "crons", "webhook", "webhooks"],
    &["keys", "apikey", "apikeys", "user", "users"],
    &["topics", "queue", "queues"],
    &["profiles", "servers", "endpoints"],
    &["login", "auth", "signin"],
    &["status", "health", "ping", "info", "runtimes", "nodes", "instances", "system", "cluster", "usage"],
    &["gc", "prune", "clean", "cleanup"],
    &["init", "templates", "template"],
    &["settings", "policy", "policies", "retention"],
    &["deps", "packages", "requirements"],
    &["rollback", "undo", "revert"],
    &["metrics", "stats", "top"],
    &["network", "egress", "firewall", "ports"],
    &["validate", "check", "lint", "verify"],
];
/// How a canary begins, since no command begins one.
const CANARY: &str = "a canary is a setting: add [canary] with `steps` to faas.toml and deploy, then watch it with \
                      `faas rollouts get NAME`; to split calls by hand: faas aliases set NAME live 3=90 4=10";
/// Where a secret's value comes from.
const SECRET: &str = "a secret's value is not an argument, where other users and the shell's history see it: leave it out and \
                      type it when asked, or pipe it: printf %s \"$VALUE\" | faas secrets set NAME";

/// Where vars of every function are.
const SHARED: &str = "vars that every function of the project sees: --shared";

/// What is done otherwise than by a command that sounds like it.
const ELSEWHERE: [(&str, &str); 9] = [
    (
        "faas update",
        "a new version of a function: `faas deploy`; of faas itself: put the new program in the place of this one",
    ),
    ("faas upgrade", "put the new program in the place of this one, and start `faas up` again"),
    ("faas docs", "see `faas --help`; what an error code means: `faas explain CODE`"),
    ("faas restore", "an earlier version of a function: `faas rollback NAME`; of a secret: `faas secrets restore`"),
    ("faas git push", "add the remote with `faas git remote`, then push with git itself: git push faas main"),
    (
        "faas ps",
        "functions and how many instances they have: `faas functions list`; runs under way: `faas runs list --state running`",
    ),
    (
        "faas stop",
        "to hold a function back: `faas functions pause NAME`; to end a run: `faas runs cancel RUN`; a server ends with Ctrl-C",
    ),
    ("faas dashboard", "there is no dashboard yet; see `faas status`, `faas runs list` and `faas logs`"),
    ("faas stats", "of a function: `faas functions metrics NAME`; of the server: `faas status`"),
];

/// A command line, as far as its words are commands.
struct Place<'a> {
    command: &'a Command,
    path: Vec<&'a str>,
    /// The same as they were typed.
    words: Vec<&'a str>,
    /// The words that follow.
    rest: Vec<&'a str>,
}

// === impl Place ===

impl<'a> Place<'a> {
    fn find(root: &'a Command, args: &'a [OsString]) -> Self {
        let mut place = Self { command: root, path: vec!["faas"], words: Vec::new(), rest: Vec::new() };
        let mut words = args.iter().skip(1).map(|word| word.to_str().unwrap_or_default());
        while let Some(word) = words.next() {
            if WITH_VALUE.contains(&word) {
                words.next();
                continue;
            }
            let found = place.rest.is_empty().then(|| place.command.find_subcommand(word)).flatten();
            match found {
                Some(command) => {
                    place.command = command;
                    place.path.push(command.get_name());
                    place.words.push(word);
                }
                None => place.rest.push(word),
            }
        }
        place
    }

    fn path(&self) -> String {
        self.path.join(" ")
    }

    /// Whether the command was named by this alias.
    fn called(&self, alias: &str) -> bool {
        self.words.contains(&alias)
    }

    /// The words behind one that is no command.
    fn after(&self, word: &str) -> Vec<&'a str> {
        self.rest.iter().skip_while(|one| **one != word).skip(1).copied().collect()
    }

    /// The command that `word` stands for here, as it can be typed.
    fn meant(&self, word: &str) -> Vec<String> {
        let path = self.path();
        let functions = self.command.find_subcommand("functions").filter(|_| self.path.len() == 1);
        if functions.is_some_and(|group| visible_ones(group).any(|one| one.get_name() == word && word != "list")) {
            return vec![format!("faas functions {word}")];
        }
        let here = closest_to(self.command, word, NEARLY_THE_SAME).or_else(|| same_meaning(self.command, word));
        if let Some(name) = here {
            return vec![format!("{path} {name}")];
        }
        if let Some(functions) = functions {
            if let Some(name) = same_meaning(functions, word) {
                return vec![format!("faas functions {name}")];
            }
            let groups = visible_ones(self.command).filter(|group| group.get_name() != "functions");
            let found: Vec<_> = groups
                .filter(|group| visible_ones(group).any(|one| one.get_name() == word))
                .map(|group| format!("faas {} {word}", group.get_name()))
                .collect();
            if !found.is_empty() {
                return found;
            }
        }
        if let Some(name) = closest_to(self.command, word, ALIKE) {
            return vec![format!("{path} {name}")];
        }
        // A name where a command belongs, in a group that lists by name.
        let list = visible_ones(self.command).find(|one| one.get_name() == "list");
        let takes_a_name = list.is_some_and(|list| list.get_positionals().next().is_some());
        if takes_a_name { vec![format!("{path} list {}", visible(word))] } else { Vec::new() }
    }
}

/// Commands that are built.
fn visible_ones(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help")
}

fn same_meaning<'c>(command: &'c Command, word: &str) -> Option<&'c str> {
    let meanings = MEANINGS.iter().filter(|words| words.contains(&word));
    meanings
        .flat_map(|words| visible_ones(command).find(|one| words.contains(&one.get_name())))
        .next()
        .map(Command::get_name)
}

/// The command whose name, or another word for it, is most like `word`.
fn closest_to<'c>(command: &'c Command, word: &str, alike: f64) -> Option<&'c str> {
    let names = || visible_ones(command).flat_map(|one| std::iter::once(one.get_name()).chain(one.get_all_aliases()));
    let name = closest(word, names(), alike)?;
    command.find_subcommand(name).map(Command::get_name)
}

/// The name that is most like `word`, where one is alike enough.
fn closest<'n>(word: &str, names: impl Iterator<Item = &'n str>, alike: f64) -> Option<&'n str> {
    names
        .map(|name| (strsim::jaro_winkler(word, name), name))
        .filter(|(likeness, _)| *likeness >= alike)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

/// What follows a suggested command, where it can be typed as it is.
fn tail(rest: &[&str]) -> String {
    let plain =
        |word: &&&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@".contains(c));
    if rest.iter().all(|word| plain(&word)) {
        rest.iter().map(|word| format!(" {word}")).collect()
    } else {
        String::new()
    }
}

/// A failure in our own words, for a command line that the parser refused.
pub(crate) fn explain(error: &clap::Error, args: &[OsString]) -> Option<Failure> {
    let root = help::command();
    let place = Place::find(&root, args);
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = context(ContextKind::InvalidSubcommand)?;
            let failure = Failure::usage(format!("`{}` is not a command of `{}`", visible(word), place.path()));
            if place.path[1..] == ["rollouts"] && ["start", "begin", "create", "new", "set", "add"].contains(&word) {
                return Some(failure.with_hint(CANARY));
            }
            if place.path[1..] == ["runs"] && place.called("run") {
                let words = format!("{word}{}", tail(&place.after(word)));
                return Some(failure.with_hint(format!(
                    "to call a function: `faas invoke {}`; its runs: `faas runs list`",
                    visible(&words)
                )));
            }
            if let Some((_, hint)) = ELSEWHERE.iter().find(|(path, _)| *path == format!("{} {word}", place.path())) {
                return Some(failure.with_hint(*hint));
            }
            let rest = place.after(word);
            Some(match place.meant(word).as_slice() {
                [] => failure.with_hint(format!("see `{} --help`", place.path())),
                [one] => failure.with_hint(format!("did you mean `{one}{}`?", tail(&rest))),
                several => failure.with_hint(format!("did you mean one of: {}", several.join(", "))),
            })
        }
        ErrorKind::UnknownArgument => {
            let word = context(ContextKind::InvalidArg)?;
            match (place.path[1..].last(), word) {
                (_, "--project") if place.path.get(1) == Some(&"vars") => {
                    Some(Failure::usage(format!("`{}` has no --project", place.path())).with_hint(SHARED))
                }
                (Some(&"up"), "--port") => Some(
                    Failure::usage("`faas up` has no --port")
                        .with_hint("use --listen, such as --listen 127.0.0.1:8080"),
                ),
                (Some(&"deploy"), "--canary") => {
                    Some(Failure::usage(format!("`{}` has no --canary", place.path())).with_hint(CANARY))
                }
                // The word itself is not repeated: it is the value.
                (Some(&"set"), _) if place.path[1] == "secrets" && !word.starts_with('-') => {
                    Some(Failure::usage("the value does not belong in the command line").with_hint(SECRET))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// A refusal of the parser, for programs: its first paragraph, and how to read on.
pub(crate) fn as_failure(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let (what, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
    let failure = Failure::usage(visible(what.trim_start_matches("error: ").trim()));
    match rest.lines().map(str::trim).find_map(|line| line.strip_prefix("tip: ")) {
        Some(tip) => failure.with_hint(visible(tip)),
        None => failure,
    }
}

/// The arguments with `list` behind them, for a group that was named without a command of it and can list.
pub(crate) fn listing(error: &clap::Error, args: &[OsString]) -> Option<Vec<OsString>> {
    use ErrorKind::{DisplayHelpOnMissingArgumentOrSubcommand, MissingSubcommand};
    if !matches!(error.kind(), DisplayHelpOnMissingArgumentOrSubcommand | MissingSubcommand) {
        return None;
    }
    let root = help::command();
    let place = Place::find(&root, args);
    let list = visible_ones(place.command).find(|one| one.get_name() == "list")?;
    let takes_words = list.get_positionals().any(clap::Arg::is_required_set);
    (place.rest.is_empty() && !takes_words).then(|| args.iter().cloned().chain(["list".into()]).collect())
}

/// Adds the function that was probably meant, where one was named that does not exist.
pub(crate) async fn name_function(mut failure: Failure, session: &Session) -> Failure {
    if failure.code != Some(Code::FunctionNotFound) {
        return failure;
    }
    let Some(word) = failure.message.split('`').nth(1).map(str::to_owned) else { return failure };
    // Callers who may not list functions get the plain answer.
    let Ok(client) = session.client() else { return failure };
    let Ok(functions) = client.functions(&ListFunctions::default(), &Rows::all()).await else { return failure };
    if let Some(name) = closest(&word, functions.items.iter().map(|one| one.name.as_str()), ALIKE) {
        failure.hint = Some(format!("did you mean `{name}`? `faas functions list` shows all functions"));
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(line: &str) -> String {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let error = help::command().try_get_matches_from(&args).expect_err("refused");
        let failure = explain(&error, &args).unwrap_or_else(|| panic!("`{line}` is left to the parser: {error}"));
        assert_eq!(failure.exit, 2, "{line}");
        failure.hint.unwrap_or_default()
    }

    #[test]
    fn the_usual_words_of_other_tools_lead_to_ours() {
        for (line, expected) in [
            ("faas ps", "`faas functions list`"),
            ("faas rm greet", "`faas functions delete greet`"),
            ("faas delete greet --yes", "`faas functions delete greet --yes`"),
            ("faas describe greet", "`faas functions get greet`"),
            ("faas pause greet", "`faas functions pause greet`"),
            ("faas serve", "`faas up`"),
            ("faas start", "`faas up`"),
            ("faas stop", "`faas functions pause NAME`"),
            ("faas call greet", "`faas invoke greet`"),
            ("faas new hello", "`faas init hello`"),
            ("faas push", "`faas deploy`"),
            ("faas tail greet", "`faas logs greet`"),
            ("faas prune", "`faas gc`"),
            ("faas health", "`faas status`"),
            ("faas runtimes", "`faas status`"),
            ("faas users", "`faas keys`"),
            ("faas cron", "`faas triggers`"),
            ("faas config", "`faas vars`"),
            ("faas dashboard", "`faas status`"),
            ("faas templates", "`faas init`"),
            ("faas stats greet", "`faas functions metrics NAME`"),
            ("faas metrics greet", "`faas functions metrics greet`"),
            ("faas deplyo x", "`faas deploy x`"),
            ("faas functions destory greet", "`faas functions delete greet`"),
            ("faas vars drop greet A", "`faas vars delete greet A`"),
            ("faas vars set --project A=b", "--shared"),
            ("faas triggers qwertz", "`faas triggers list qwertz`"),
            ("faas versions greet", "`faas versions list greet`"),
            ("faas redrive run_1", "`faas dead-letters redrive run_1`"),
            ("faas promote greet", "`faas rollouts promote greet`"),
            ("faas undo", "`faas rollback`"),
            ("faas canary start greet", "[canary]"),
            ("faas undeploy greet", "`faas functions delete greet`"),
            ("faas run greet", "`faas invoke greet`"),
            ("faas update", "`faas deploy`"),
            ("faas upgrade", "the new program"),
            ("faas docs", "`faas --help`"),
            ("faas restore", "`faas rollback NAME`"),
            ("faas git push", "`faas git remote`"),
            ("faas up --port 80", "--listen"),
            ("faas deploy --canary 10", "[canary]"),
            ("faas fn deploy --canary", "[canary]"),
        ] {
            assert!(hint(line).contains(expected), "{line}: {}", hint(line));
        }
    }

    #[test]
    fn nothing_unbuilt_is_suggested_and_no_value_repeated() {
        for line in ["faas executee", "faas snapshotz", "faas qwertz", "faas functions qwertz"] {
            let hint = hint(line);
            assert!(!hint.contains("execute") && !hint.contains("snapshot"), "{line}: {hint}");
        }
        let args = ["faas", "secrets", "set", "STRIPE", "sk_live_1"].map(OsString::from);
        let error = help::command().try_get_matches_from(&args).expect_err("refused");
        let failure = explain(&error, &args).expect("explained");
        assert!(
            !format!("{failure:?}").contains("sk_live_1") && failure.hint.is_some_and(|hint| hint.contains("printf"))
        );
    }

    #[test]
    fn a_group_alone_lists_where_it_can() {
        let of = |line: &str| {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let error = help::command().try_get_matches_from(&args).err();
            error.and_then(|error| listing(&error, &args)).is_some()
        };
        for line in
            ["faas fn", "faas vars", "faas triggers", "faas keys -o json", "faas -o json topics", "faas functions"]
        {
            assert!(of(line), "{line}");
        }
        for line in ["faas", "faas alias", "faas canary", "faas functions list", "faas functions lst", "faas callbacks"]
        {
            assert!(!of(line), "{line}");
        }
    }
}
