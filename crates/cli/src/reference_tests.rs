//! The list of commands in `docs/cli.md`, written from the command line itself.

use std::fmt::Write;
use std::fs;

use clap::{Arg, Command};

use crate::help::{self, GROUPS};

/// Where the list stands in the page.
const BEGIN: &str = "<!-- commands -->\n";
const END: &str = "<!-- /commands -->\n";
/// Pages that say more of a command.
const GUIDES: [(&str, &str); 20] = [
    ("dev", "[Working locally](guides/local.md)"),
    ("test", "[Working locally](guides/local.md)"),
    ("validate", "[Preflight](guides/deploying.md#preflight)"),
    ("deps", "[Dependencies](guides/dependencies.md)"),
    ("deploy", "[Deploying](guides/deploying.md)"),
    ("rollback", "[Versions](guides/versions.md)"),
    ("functions", "[Versions](guides/versions.md)"),
    ("versions", "[Versions](guides/versions.md)"),
    ("deployments", "[Versions](guides/versions.md)"),
    ("aliases", "[Versions](guides/versions.md)"),
    ("rollouts", "[Versions](guides/versions.md)"),
    ("layers", "[Layers](guides/layers.md)"),
    ("git", "[Deploying by git push](guides/git.md)"),
    ("runs", "[Runs and logs](guides/runs-and-logs.md)"),
    ("logs", "[Runs and logs](guides/runs-and-logs.md)"),
    ("triggers", "[Triggers](guides/triggers.md)"),
    ("dead-letters", "[Background runs](guides/async.md)"),
    ("network", "[Networking](guides/networking.md)"),
    ("vars", "[Vars and secrets](guides/vars-and-secrets.md)"),
    ("secrets", "[Vars and secrets](guides/vars-and-secrets.md)"),
];

/// Every command that the help shows, by its groups.
fn commands() -> String {
    let mut root = help::command();
    root.build();
    let mut page = String::new();
    for (heading, names) in GROUPS {
        // Writing to a text cannot fail.
        let _ = write!(page, "\n## {heading}\n");
        for name in names.iter().filter(|name| **name != "help") {
            let command = root.find_subcommand(name).unwrap_or_else(|| panic!("no command `{name}`"));
            let _ = write!(page, "\n### faas {name}\n\n{}\n", about(command));
            each(command, &format!("faas {name}"), &mut page);
            if let Some((_, guide)) = GUIDES.iter().find(|(one, _)| one == name) {
                let _ = write!(page, "\nMore: {guide}.\n");
            }
        }
    }
    page + "\n"
}

/// A command with its arguments, or those of a group one by one.
fn each(command: &Command, path: &str, page: &mut String) {
    let shown: Vec<&Command> =
        command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help").collect();
    if shown.is_empty() || command.get_name() == "dev" {
        let _ = write!(page, "\n```text\n{}\n```\n", usage(command, path));
        arguments(command, page);
        examples(command, page);
    }
    for one in shown {
        let path = format!("{path} {}", one.get_name());
        let _ = write!(page, "\n#### {path}\n\n{}\n", about(one));
        each(one, &path, page);
    }
}

fn about(command: &Command) -> String {
    let short = command.get_about().map(ToString::to_string).unwrap_or_default();
    let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    let rest = long.strip_prefix(&*short).unwrap_or_default().trim();
    let aliases: Vec<String> = command.get_visible_aliases().map(|alias| format!("`{alias}`")).collect();
    let aliases = if aliases.is_empty() { String::new() } else { format!(" Also: {}.", aliases.join(", ")) };
    let rest = if rest.is_empty() { String::new() } else { format!("\n\n{}", plain(rest)) };
    format!("{}.{aliases}{rest}", plain(&short))
}

fn usage(command: &Command, path: &str) -> String {
    let usage = command.clone().render_usage().to_string();
    let words = usage.trim_start_matches("Usage: ").trim();
    // The parser names the command by its whole path, which a clone of a part may not know.
    let own = words.split_once(command.get_name()).map_or(words, |(_, rest)| rest);
    format!("{path}{own}")
}

fn arguments(command: &Command, page: &mut String) {
    let is_own = |arg: &&Arg| {
        !arg.is_hide_set()
            && arg.get_help_heading() != Some("Global options")
            && !["help", "version"].contains(&arg.get_id().as_str())
    };
    let is_flag = |arg: &Arg| arg.get_long() == Some("version") && !arg.is_positional();
    let rows: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| is_own(arg) || (is_flag(arg) && arg.get_value_names().is_some()))
        .collect();
    if rows.is_empty() {
        return;
    }
    page.push_str("\n| argument | meaning |\n|---|---|\n");
    for arg in rows {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(page, "| {} | {}{} |", spelling(arg), cell(&help), default(arg));
    }
}

fn examples(command: &Command, page: &mut String) {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let Some((_, lines)) = help.split_once("Examples:\n") else { return };
    let lines: Vec<&str> = lines.lines().map_while(|line| line.strip_prefix("  ")).collect();
    let _ = write!(page, "\n```sh\n{}\n```\n", lines.join("\n"));
}

/// `-n`, `--limit N`, or a position's name.
fn spelling(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    if arg.is_positional() {
        return format!("`<{}>`", cell(&names));
    }
    let takes = arg.get_action().takes_values();
    let value = if takes { format!(" <{}>", cell(&names)) } else { String::new() };
    let short = arg.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    format!("{short}`--{}{value}`", arg.get_long().unwrap_or_default())
}

fn default(arg: &Arg) -> String {
    let values: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    let is_shown = arg.get_action().takes_values() && !arg.is_hide_default_value_set();
    match values.join(" ") {
        text if text.is_empty() || !is_shown => String::new(),
        text => format!(" [default: `{}`]", cell(&text)),
    }
}

/// Text of one cell of a table.
fn cell(text: &str) -> String {
    plain(text).replace('|', "\\|").replace('\n', " ")
}

/// Text that Markdown shows as it is: no tags, no emphasis.
fn plain(text: &str) -> String {
    text.replace('<', "&lt;").replace('*', "\\*")
}

#[test]
fn the_page_of_the_command_line_is_written_from_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    let page = fs::read_to_string(path).expect("docs/cli.md");
    let (before, rest) = page.split_once(BEGIN).expect("where the commands begin");
    let (_, after) = rest.split_once(END).expect("where they end");
    let fresh = format!("{before}{BEGIN}{}{END}{after}", commands());
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(path, &fresh).expect("written");
    }
    assert!(
        page == fresh || std::env::var_os("UPDATE_SNAPSHOTS").is_some(),
        "docs/cli.md is not up to date: make reference"
    );
}
