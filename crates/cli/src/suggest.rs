//! What was probably meant by a command line or a name that does not exist.

use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use faas_terminal::failure::Failure;
use faas_terminal::session::Session;
use faas_terminal::text::visible;
use faas_types::Code;

use crate::help;

/// How alike two names must be for one to be a slip of the other: from 0 to 1.
const ALIKE: f64 = 0.8;
/// How alike they must be to come before a word of the same meaning.
const NEARLY_THE_SAME: f64 = 0.92;
/// Options of every command that a value follows.
const WITH_VALUE: [&str; 3] = ["-o", "--output", "--endpoint"];
/// Words that people use for the same thing, here and in other tools.
const MEANINGS: [&[&str]; 24] = [
    &["list", "ls", "ps", "all"],
    &["delete", "remove", "rm", "del", "destroy", "drop", "unset", "revoke", "purge", "undeploy"],
    &["get", "show", "describe", "inspect", "info", "view"],
    &["set", "add", "create", "put", "update", "edit", "new"],
    &["init", "new", "create", "scaffold"],
    &["up", "serve", "server", "start", "daemon"],
    &["deploy", "push", "publish", "release", "ship"],
    &["invoke", "call", "run", "curl"],
    &["runs", "run", "executions", "invocations", "jobs", "history"],
    &["logs", "log", "tail"],
    &["fn", "function", "func", "lambda", "lambdas"],
    &["vars", "var", "config", "environment"],
    &["secrets", "secret"],
    &["triggers", "trigger", "schedule", "schedules", "cron", "crons", "webhook", "webhooks"],
    &["keys", "key", "token", "tokens", "apikeys"],
    &["topics", "topic", "queue", "queues"],
    &["layers", "layer"],
    &["events", "event"],
    &["alias", "aliases"],
    &["profile", "profiles", "context", "contexts"],
    &["login", "auth", "signin"],
    &["status", "health", "ping"],
    &["rollback", "undo", "revert"],
    &["metrics", "stats", "top"],
];
/// How a canary begins, since no command begins one.
const CANARY: &str = "a canary is a setting: add [canary] with `steps` to faas.toml and deploy, then watch it with \
                      `faas canary status NAME`; to split calls by hand: faas alias set NAME live 3=90 4=10";
/// Where a secret's value comes from.
const SECRET: &str = "a secret's value is not an argument, where other users and the shell's history see it: leave it out and \
                      type it when asked, or pipe it: printf %s \"$VALUE\" | faas secrets set NAME";

/// What is done otherwise than by a command that sounds like it.
const ELSEWHERE: [(&str, &str); 6] = [
    ("faas run", "to call a function: `faas invoke NAME`; its runs: `faas runs list`"),
    (
        "faas update",
        "a new version of a function: `faas deploy`; of faas itself: put the new program in the place of this one",
    ),
    ("faas upgrade", "put the new program in the place of this one, and start `faas up` again"),
    ("faas docs", "see `faas --help`; what an error code means: `faas explain CODE`"),
    ("faas restore", "an earlier version of a function: `faas rollback NAME`; of a secret: `faas secrets restore`"),
    ("faas git push", "add the remote with `faas git remote`, then push with git itself: git push faas main"),
];

/// A command line, as far as its words are commands.
struct Place<'a> {
    command: &'a Command,
    path: Vec<&'a str>,
    /// The words that follow.
    rest: Vec<&'a str>,
}

// === impl Place ===

impl<'a> Place<'a> {
    fn find(root: &'a Command, args: &'a [OsString]) -> Self {
        let mut place = Self { command: root, path: vec!["faas"], rest: Vec::new() };
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
                }
                None => place.rest.push(word),
            }
        }
        place
    }

    fn path(&self) -> String {
        self.path.join(" ")
    }

    /// The command that `word` stands for here, as it can be typed.
    fn meant(&self, word: &str) -> Vec<String> {
        let path = self.path();
        let functions = self.command.find_subcommand("fn").filter(|_| self.path.len() == 1);
        if functions.is_some_and(|group| visible_ones(group).any(|one| one.get_name() == word)) {
            return vec![format!("faas fn {word}")];
        }
        let here = closest_to(self.command, word, NEARLY_THE_SAME).or_else(|| same_meaning(self.command, word));
        if let Some(name) = here {
            return vec![format!("{path} {name}")];
        }
        if let Some(functions) = functions {
            if let Some(name) = same_meaning(functions, word) {
                return vec![format!("faas fn {name}")];
            }
            let groups = visible_ones(self.command).filter(|group| group.get_name() != "fn");
            let found: Vec<_> = groups
                .filter(|group| visible_ones(group).any(|one| one.get_name() == word))
                .map(|group| format!("faas {} {word}", group.get_name()))
                .collect();
            if !found.is_empty() {
                return found;
            }
        }
        closest_to(self.command, word, ALIKE).map(|name| format!("{path} {name}")).into_iter().collect()
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

fn closest_to<'c>(command: &'c Command, word: &str, alike: f64) -> Option<&'c str> {
    closest(word, visible_ones(command).map(Command::get_name), alike)
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
            if place.path[1..] == ["canary"] && ["start", "begin", "create", "new", "set", "add"].contains(&word) {
                return Some(failure.with_hint(CANARY));
            }
            if let Some((_, hint)) = ELSEWHERE.iter().find(|(path, _)| *path == format!("{} {word}", place.path())) {
                return Some(failure.with_hint(*hint));
            }
            let rest = place.rest.iter().skip_while(|one| **one != word).skip(1).copied().collect::<Vec<_>>();
            Some(match place.meant(word).as_slice() {
                [] => failure.with_hint(format!("see `{} --help`", place.path())),
                [one] => failure.with_hint(format!("did you mean `{one}{}`?", tail(&rest))),
                several => failure.with_hint(format!("did you mean one of: {}", several.join(", "))),
            })
        }
        ErrorKind::UnknownArgument => {
            let word = context(ContextKind::InvalidArg)?;
            match (place.path[1..].last(), word) {
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
    let Ok(functions) = client.all_functions().await else { return failure };
    if let Some(name) = closest(&word, functions.iter().map(|one| one.name.as_str()), ALIKE) {
        failure.hint = Some(format!("did you mean `{name}`? `faas fn list` shows all functions"));
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
            ("faas list", "`faas fn list`"),
            ("faas ls", "`faas fn list`"),
            ("faas ps", "`faas fn list`"),
            ("faas rm greet", "`faas fn delete greet`"),
            ("faas delete greet --yes", "`faas fn delete greet --yes`"),
            ("faas serve", "`faas up`"),
            ("faas start", "`faas up`"),
            ("faas call greet", "`faas invoke greet`"),
            ("faas function list", "`faas fn list`"),
            ("faas secret list", "`faas secrets list`"),
            ("faas deplyo x", "`faas deploy x`"),
            ("faas fn ls", "`faas fn list`"),
            ("faas fn remove greet", "`faas fn delete greet`"),
            ("faas keys delete ci", "`faas keys revoke ci`"),
            ("faas keys -o json rm ci", "`faas keys revoke ci`"),
            ("faas vars rm greet A", "`faas vars unset greet A`"),
            ("faas triggers delete greet t", "`faas triggers remove greet t`"),
            ("faas triggers show greet", "`faas triggers --help`"),
            ("faas redrive run_1", "`faas dlq redrive run_1`"),
            ("faas versions greet", "`faas fn versions greet`"),
            ("faas promote greet", "`faas canary promote greet`"),
            ("faas undo", "`faas rollback`"),
            ("faas canary start greet", "[canary]"),
            ("faas undeploy greet", "`faas fn delete greet`"),
            ("faas run greet", "`faas invoke NAME`"),
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
        for line in ["faas exec x", "faas executee", "faas snapshots", "faas qwertz", "faas fn qwertz"] {
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
        for line in ["faas", "faas alias", "faas canary", "faas fn list", "faas fn lst", "faas callbacks"] {
            assert!(!of(line), "{line}");
        }
    }
}
