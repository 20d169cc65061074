//! `faas vars`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use faas_client::Rows;
use faas_client::rest::{SetVars, VarView};
use faas_config::check_var;
use faas_source::env_file::{EnvFile, read_vars_file};
use faas_terminal::failure::Failure;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use faas_types::{Code, Stage};

use super::secret_values::refuse_secrets;
use super::vars_sync;

use crate::commands::rows::{self, RowArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum VarsCommand {
    /// List the vars that a function sees, or those that a stage gives every function
    List(ListArgs),
    /// Print the value of one var
    Get(GetArgs),
    /// Set vars; they win over the manifest's
    Set(SetArgs),
    /// Delete vars that were set here; the manifest's and inherited ones come back
    #[command(alias = "unset")]
    Delete(DeleteArgs),
    Pull(vars_sync::PullArgs),
    Push(vars_sync::PushArgs),
    /// Show what differs between a .env file and the server; exits with 1 where something does
    Diff(vars_sync::DiffArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas vars list hello\n  faas vars list --stage staging\n  faas vars list hello -o json"
)]
pub(crate) struct ListArgs {
    /// The function [default: what the stage gives every function]
    name: Option<String>,
    /// The stage: dev, staging or prod
    #[arg(long, default_value_t)]
    stage: Stage,
    #[command(flatten)]
    rows: RowArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas vars get hello GREETING\n  faas vars get --shared API_URL")]
pub(crate) struct GetArgs {
    /// The function, then the var; with --shared the var alone
    #[arg(required = true, num_args = 1..=2, value_name = "NAME> <KEY")]
    words: Vec<String>,
    #[command(flatten)]
    of: Whose,
}

#[derive(Debug, Args)]
#[command(after_help = SET_EXAMPLES)]
pub(crate) struct SetArgs {
    /// The function, then KEY=VALUE, or KEY to take the value from this shell's environment; with --shared no function
    #[arg(required_unless_present = "file", value_name = "NAME> <KEY=VALUE")]
    words: Vec<String>,
    /// A file of KEY=VALUE lines, or - for standard input; keeps values out of the process list
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Take values that look like keys of known services as vars all the same
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    of: Whose,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas vars delete hello GREETING MOOD\n  faas vars delete --shared API_URL --stage dev"
)]
pub(crate) struct DeleteArgs {
    /// The function, then the vars; with --shared the vars alone
    #[arg(required = true, value_name = "NAME> <KEY")]
    words: Vec<String>,
    #[command(flatten)]
    of: Whose,
}

/// Whose vars are meant.
#[derive(Debug, Args)]
struct Whose {
    /// Those that every function of the project sees
    #[arg(long)]
    shared: bool,
    /// The stage: dev, staging or prod; dev and staging inherit what they do not set
    #[arg(long, default_value_t)]
    stage: Stage,
}

const SET_EXAMPLES: &str = "\
Examples:
  faas vars set hello GREETING=hi MOOD=good
  faas vars set hello API_URL
  faas vars set hello --file prod.env
  faas vars set hello 'API_KEY=${secrets.STRIPE}'
  faas vars set --shared --stage dev API_URL=http://127.0.0.1:9000";

// === impl Whose ===

impl Whose {
    /// The function that the first word names, and the other words.
    fn split<'w>(&self, words: &'w [String]) -> anyhow::Result<(Option<&'w str>, &'w [String])> {
        match words.split_first() {
            _ if self.shared => Ok((None, words)),
            Some((name, rest)) if !name.contains('=') => Ok((Some(name), rest)),
            _ => {
                let hint = "write its name first, or --shared for vars that every function sees";
                Err(Failure::usage("no function is named").with_hint(hint).into())
            }
        }
    }
}

pub(crate) async fn run(command: VarsCommand, session: &Session) -> anyhow::Result<ExitCode> {
    match command {
        VarsCommand::List(args) => {
            let list = session.client()?.vars(args.name.as_deref(), args.stage, &args.rows.rows()).await?;
            let whose = text::visible(args.name.as_deref().unwrap_or("--shared"));
            rows::print(&list, &session.out, &format!("no vars yet; try: faas vars set {whose} KEY=VALUE"), table)?;
        }
        VarsCommand::Get(args) => get(&args, session).await?,
        VarsCommand::Set(args) => {
            let (function, words) = args.of.split(&args.words)?;
            let vars = wanted(&args, words)?;
            let list = session.client()?.set_vars(function, args.of.stage, &SetVars { vars }).await?;
            session.out.list(&list, &list.items, table)?;
        }
        VarsCommand::Delete(args) => delete(&args, session).await?,
        VarsCommand::Pull(args) => vars_sync::pull(&args, session).await?,
        VarsCommand::Push(args) => vars_sync::push(&args, session).await?,
        VarsCommand::Diff(args) => return vars_sync::diff(&args, session).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn delete(args: &DeleteArgs, session: &Session) -> anyhow::Result<()> {
    let (function, keys) = args.of.split(&args.words)?;
    if keys.is_empty() {
        return Err(Failure::usage("no var is named; write the vars after the function").into());
    }
    let client = session.client()?;
    // All or none: a list with a typo in it must not leave the half of it done.
    let there = client.vars(function, args.of.stage, &Rows::all()).await?.items;
    let own = if function.is_some() { "function" } else { "project" };
    let is_set = |key: &&String| {
        there.iter().any(|var| var.key == **key && var.source == own && var.stage == Some(args.of.stage))
    };
    let missing: Vec<&str> = keys.iter().filter(|key| !is_set(key)).map(String::as_str).collect();
    if !missing.is_empty() && keys.len() > 1 {
        let (names, stage) = (text::visible(&missing.join(", ")), args.of.stage);
        let message = format!("no var was set in stage {stage} by the name of: {names}; nothing was deleted");
        let list = function.map_or_else(|| "--shared".to_owned(), str::to_owned);
        return Err(Failure::of(Code::NotFound, message)
            .with_hint(format!("`faas vars list {list}` shows those that are"))
            .into());
    }
    for key in keys {
        client.unset_var(function, args.of.stage, key).await?;
    }
    session.out.remark(format_args!("deleted {}", text::visible(&keys.join(", "))));
    Ok(())
}

async fn get(args: &GetArgs, session: &Session) -> anyhow::Result<()> {
    let (function, words) = args.of.split(&args.words)?;
    let [key] = words else { return Err(Failure::usage("name one var, after the function").into()) };
    let list = session.client()?.vars(function, args.of.stage, &Rows::all()).await?;
    let Some(found) = list.items.into_iter().find(|row| row.key == *key) else {
        let message = format!("`{}` has no var `{key}`", function.unwrap_or("the project"));
        let hint =
            format!("list them with `faas vars list{}`", function.map(|name| format!(" {name}")).unwrap_or_default());
        return Err(Failure::of(Code::NotFound, message).with_hint(hint).into());
    };
    match session.out.format {
        faas_terminal::global_args::Format::Table => session.out.line(&found.value),
        _ => session.out.json(&found),
    }
}

fn wanted(args: &SetArgs, words: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut vars = BTreeMap::new();
    if let Some(path) = &args.file {
        vars.extend(EnvFile::read(&read_vars_file(path)?, &path.display().to_string())?.vars());
    }
    for (at, text) in words.iter().enumerate() {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => {
                let unset = |_| match words.get(at + 1).filter(|next| !next.contains('=')) {
                    Some(value) => Failure::usage(format!("`{text}` has no value: did you mean {text}={value}?")),
                    None => {
                        Failure::usage(format!("`{text}` has no value: write {text}=VALUE, or set it in this shell"))
                    }
                };
                (text.clone(), std::env::var(text).map_err(unset)?)
            }
        };
        vars.insert(key, value);
    }
    if vars.is_empty() {
        let message = match &args.file {
            Some(path) => format!("{} has no KEY=VALUE", text::visible(&path.display().to_string())),
            None => "nothing to set; write KEY=VALUE after the function".to_owned(),
        };
        return Err(Failure::usage(message).into());
    }
    for (key, value) in &vars {
        check_var(key, value).map_err(|message| Failure::of(Code::InvalidConfiguration, message))?;
    }
    if !args.plain {
        refuse_secrets(&vars, args.of.stage)?;
    }
    Ok(vars)
}

fn table(vars: &[VarView]) -> Table {
    let mut table = Table::with_headings(["KEY", "VALUE", "SOURCE"]);
    for row in vars {
        let stage = row.stage.map(|stage| format!(" {stage}")).unwrap_or_default();
        table.row([row.key.clone(), row.value.clone(), format!("{}{stage}", row.source)]);
    }
    table
}
