//! Words of other tools that do what is meant.

use std::ffi::OsString;

use clap::Command;
use clap::error::ErrorKind;

/// Options of every command that a value follows.
pub(crate) const WITH_VALUE: [&str; 3] = ["-o", "--output", "--endpoint"];
/// Verbs that each group takes besides its own, unless the group has a command of that name.
const VERBS: [(&str, &[&str]); 12] = [
    ("list", &["ls"]),
    ("get", &["show", "describe", "inspect", "info", "view"]),
    ("create", &["add", "new"]),
    ("set", &["put", "update"]),
    ("delete", &["rm", "remove", "del", "destroy"]),
    ("revoke", &["delete", "rm", "remove"]),
    ("purge", &["clear", "delete", "rm"]),
    ("redrive", &["retry"]),
    ("cancel", &["stop", "kill"]),
    ("replay", &["rerun", "retry"]),
    ("send", &["publish"]),
    ("publish", &["send", "emit"]),
];
/// First words that stand for one command.
const COMMANDS: [(&str, &[&str]); 3] =
    [("ls", &["functions", "list"]), ("list", &["functions", "list"]), ("auth", &[])];
/// What may follow `auth`.
const AUTH: [&str; 3] = ["login", "logout", "whoami"];

/// The same command line, each of its groups with the verbs of other tools.
pub(crate) fn with_verbs(mut command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    let mut taken: Vec<String> = names.clone();
    taken.extend(command.get_subcommands().flat_map(Command::get_all_aliases).map(str::to_owned));
    for name in names {
        let habits = VERBS.iter().filter(|(verb, _)| *verb == name).flat_map(|(_, words)| *words);
        let free: Vec<&str> = habits.copied().filter(|word| !taken.iter().any(|one| one == word)).collect();
        taken.extend(free.iter().map(|word| (*word).to_owned()));
        command = command.mut_subcommand(name, |one| with_verbs(one.aliases(free)));
    }
    command
}

/// The command line that is meant, where its first word is one that other tools have for one command of ours.
pub(crate) fn of_other_tools(error: &clap::Error, args: &[OsString]) -> Option<Vec<OsString>> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let at = first_word(args)?;
    let (habit, words) = COMMANDS.iter().find(|(habit, _)| *habit == args[at].as_os_str())?;
    if *habit == "auth" && !args.get(at + 1).is_some_and(|word| AUTH.iter().any(|one| *one == word.as_os_str())) {
        return None;
    }
    let before = args[..at].iter().cloned();
    let words = words.iter().map(OsString::from);
    Some(before.chain(words).chain(args[at + 1..].iter().cloned()).collect())
}

/// Where the first word stands that is neither an option nor an option's value.
fn first_word(args: &[OsString]) -> Option<usize> {
    let mut at = 1;
    loop {
        let word = args.get(at)?.to_str()?;
        at += if WITH_VALUE.contains(&word) {
            2
        } else if word.starts_with('-') {
            1
        } else {
            return Some(at);
        };
    }
}

/// Whether a command line that cannot be read asks for JSON.
pub(crate) fn wants_json(args: &[OsString]) -> bool {
    let words: Vec<_> = args.iter().map(|word| word.to_string_lossy()).collect();
    let is_json = |value: &str| ["json", "ndjson"].contains(&value);
    words.iter().enumerate().any(|(at, word)| match &**word {
        "--json" => true,
        "-o" | "--output" => words.get(at + 1).is_some_and(|value| is_json(value)),
        word => ["--output=", "-o=", "-o"].iter().any(|start| word.strip_prefix(start).is_some_and(is_json)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_asked_for_in_every_spelling() {
        let of = |line: &str| wants_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in ["faas --json x", "faas x -o json", "faas x -ojson", "faas x --output=ndjson", "faas -o=json"] {
            assert!(of(line), "{line}");
        }
        for line in ["faas x", "faas x -o table", "faas json", "faas x --output"] {
            assert!(!of(line), "{line}");
        }
    }
}
