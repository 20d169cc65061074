//! The program's own help: its commands in groups, by what they are for.

use std::fmt::Write;

use clap::{Command, CommandFactory};

use crate::args::Cli;
use crate::habits;

/// Every visible command, in the groups that `faas --help` shows.
pub(crate) const GROUPS: [(&str, &[&str]); 8] = [
    ("Build", &["init", "dev", "test", "validate", "deps"]),
    ("Ship", &["deploy", "rollback", "functions", "versions", "deployments", "aliases", "rollouts", "layers", "git"]),
    ("Run", &["invoke", "runs", "logs", "triggers", "events", "topics", "dead-letters"]),
    ("Sandboxes", &["network"]),
    ("Configure", &["vars", "secrets", "settings"]),
    ("Access", &["login", "logout", "whoami", "profiles", "keys"]),
    ("Operate", &["up", "status", "doctor", "gc", "cache"]),
    ("Help", &["api", "explain", "completion", "version", "help"]),
];

/// The command line with its grouped help. The library has one heading for all subcommands, so their list is written here.
pub(crate) fn command() -> Command {
    let mut command = habits::with_verbs(Cli::command());
    // Only a built command knows its `help` subcommand.
    command.build();
    let list = GROUPS.map(|group| section(&command, group)).join("\n");
    habits::with_verbs(Cli::command()).help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{list}\nOptions:\n{{options}}{{after-help}}"
    ))
}

fn section(command: &Command, (heading, names): (&str, &[&str])) -> String {
    let mut text = format!("{heading}:\n");
    for name in names {
        let found = command.find_subcommand(name);
        let about = found.and_then(Command::get_about).map(ToString::to_string).unwrap_or_default();
        let aliases: Vec<_> = found.into_iter().flat_map(Command::get_visible_aliases).collect();
        let aliases = if aliases.is_empty() { String::new() } else { format!(" [aliases: {}]", aliases.join(", ")) };
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {name:<12} {about}{aliases}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_visible_command_is_in_one_group() {
        let mut command = Cli::command();
        command.build();
        let visible: BTreeSet<_> =
            command.get_subcommands().filter(|one| !one.is_hide_set()).map(|one| one.get_name().to_owned()).collect();
        let grouped: Vec<_> =
            GROUPS.iter().flat_map(|(_, names)| names.iter().map(|name| (*name).to_owned())).collect();
        assert_eq!(grouped.iter().cloned().collect::<BTreeSet<_>>(), visible);
        assert_eq!(grouped.len(), visible.len(), "a command is in two groups");
    }

    #[test]
    fn the_help_shows_groups_options_and_examples() {
        let help = super::command().render_help().to_string();
        for expected in
            ["\nShip:\n  deploy ", "\nOperate:\n  up ", "[aliases: dlq]", "\nOptions:\n", "--endpoint", "\nExamples:\n"]
        {
            assert!(help.contains(expected), "{expected:?} is not in\n{help}");
        }
        assert!(!help.contains("execute") && help.lines().all(|line| line.chars().count() <= 120), "{help}");
    }
}
