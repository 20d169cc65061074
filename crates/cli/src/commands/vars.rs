//! `faas vars`

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use faas_client::rest::{SetVars, VarView};
use faas_config::check_var;
use faas_types::{Code, limits};

use crate::failure::Failure;
use crate::session::Session;
use crate::table::Table;
use crate::text;

#[derive(Debug, Subcommand)]
pub(crate) enum VarsCommand {
    /// List the vars that the live version sees
    List(ListArgs),
    /// Print the value of one var
    Get(GetArgs),
    /// Set vars; they win over the manifest's
    Set(SetArgs),
    /// Remove vars that were set here; the manifest's come back
    Unset(UnsetArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas vars list hello\n  faas vars list hello -o json")]
pub(crate) struct ListArgs {
    /// The function
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas vars get hello GREETING")]
pub(crate) struct GetArgs {
    /// The function
    name: String,
    /// The var
    key: String,
}

#[derive(Debug, Args)]
#[command(after_help = SET_EXAMPLES)]
pub(crate) struct SetArgs {
    /// The function
    name: String,
    /// KEY=VALUE, or KEY to take the value from this shell's environment
    #[arg(required_unless_present = "file", value_name = "KEY=VALUE")]
    vars: Vec<String>,
    /// A file of KEY=VALUE lines, or - for standard input; keeps values out of the process list
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas vars unset hello GREETING MOOD")]
pub(crate) struct UnsetArgs {
    /// The function
    name: String,
    /// The vars
    #[arg(required = true)]
    keys: Vec<String>,
}

const SET_EXAMPLES: &str = "\
Examples:
  faas vars set hello GREETING=hi MOOD=good
  faas vars set hello API_URL
  faas vars set hello --file prod.env";

pub(crate) async fn run(command: VarsCommand, session: &Session) -> anyhow::Result<()> {
    match command {
        VarsCommand::List(args) => {
            let list = session.client()?.vars(&args.name).await?;
            session.out.list(&list, &list.vars, table)
        }
        VarsCommand::Get(args) => get(&args, session).await,
        VarsCommand::Set(args) => {
            let vars = wanted(&args)?;
            let list = session.client()?.set_vars(&args.name, &SetVars { vars }).await?;
            session.out.list(&list, &list.vars, table)
        }
        VarsCommand::Unset(args) => {
            let client = session.client()?;
            for key in &args.keys {
                client.unset_var(&args.name, key).await?;
            }
            let report = serde_json::json!({ "removed": args.keys });
            session.out.done(format_args!("removed {}", text::visible(&args.keys.join(", "))), &report)
        }
    }
}

async fn get(args: &GetArgs, session: &Session) -> anyhow::Result<()> {
    let list = session.client()?.vars(&args.name).await?;
    let Some(found) = list.vars.into_iter().find(|row| row.key == args.key) else {
        let message = format!("`{}` has no var `{}`", args.name, args.key);
        let hint = format!("list them with `faas vars list {}`", args.name);
        return Err(Failure::of(Code::NotFound, message).with_hint(hint).into());
    };
    match session.out.format {
        crate::args::Format::Table => session.out.line(&found.value),
        _ => session.out.json(&found),
    }
}

fn wanted(args: &SetArgs) -> anyhow::Result<BTreeMap<String, String>> {
    let mut vars = BTreeMap::new();
    if let Some(path) = &args.file {
        vars.extend(parse_lines(&read(path)?, &path.display().to_string())?);
    }
    for text in &args.vars {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => {
                let unset =
                    |_| Failure::usage(format!("`{text}` has no value: write {text}=VALUE, or set it in this shell"));
                (text.clone(), std::env::var(text).map_err(unset)?)
            }
        };
        vars.insert(key, value);
    }
    for (key, value) in &vars {
        check_var(key, value).map_err(|message| Failure::of(Code::InvalidConfiguration, message))?;
    }
    Ok(vars)
}

fn read(path: &std::path::Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let most = limits::VARS_MAX as u64 * limits::VAR_VALUE_MAX as u64;
    let outcome = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(most).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_string(&mut text))
    };
    outcome.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

/// `KEY=VALUE` lines as `.env` files have them: blank lines and `#` comments are left out, `export ` and one pair of
/// quotes around a value are taken off. Nothing is expanded.
pub(crate) fn parse_lines(text: &str, name: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut vars = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        // The line itself is not printed: it may hold what nobody should see.
        let Some((key, value)) = line.split_once('=') else {
            return Err(Failure::usage(format!(
                "{name}:{}: this is not KEY=VALUE; put a # before comments",
                index + 1
            )));
        };
        let value = value.trim();
        let bare = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
        vars.push((key.trim().to_owned(), bare.unwrap_or(value).to_owned()));
    }
    Ok(vars)
}

fn table(vars: &[VarView]) -> Table {
    let mut table = Table::with_headings(["KEY", "VALUE", "SOURCE"]);
    for row in vars {
        table.row([row.key.clone(), row.value.clone(), row.source.clone()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_files_are_read_as_they_are() {
        let text = "# a comment\n\nexport A=1\nB = \"two words\"\nC='x'\nD=a=b\nE=\n";
        let vars = parse_lines(text, "x.env").expect("good lines");
        let expected = [("A", "1"), ("B", "two words"), ("C", "x"), ("D", "a=b"), ("E", "")];
        assert_eq!(vars, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let failure = parse_lines("A=1\nsecret-text\n", "x.env").expect_err("no equals sign");
        assert!(failure.message.starts_with("x.env:2:") && !failure.message.contains("secret"), "{failure:?}");
    }
}
