//! `faas git`

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use clap::{Args, Subcommand};
use faas_source::location::or_here;
use faas_source::project::{Overrides, Project};
use faas_terminal::failure::Failure;
use faas_terminal::session::Session;
use faas_types::FunctionName;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(crate) enum GitCommand {
    Remote(RemoteArgs),
    /// Give git the key of a server; git itself calls this
    Credential(CredentialArgs),
}

/// Set a repository up so that `git push faas main` deploys
///
/// Adds a remote and lets git ask this program for the key, which is never written into the repository. A push to `main`
/// deploys; a push to another branch makes a preview named after it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas git remote\n  faas git remote services/hello --remote staging")]
pub(crate) struct RemoteArgs {
    /// The repository's root, with a manifest [default: .]
    path: Option<PathBuf>,
    /// The remote's name
    #[arg(long, default_value = "faas", value_name = "NAME")]
    remote: String,
    /// The function's name [default: the manifest's]
    #[arg(long, value_name = "NAME")]
    name: Option<FunctionName>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas git credential get")]
pub(crate) struct CredentialArgs {
    /// What git wants: only `get` has an answer
    action: String,
}

/// What git says of where it wants to go is a few short lines.
const QUESTION_MAX: u64 = 64 << 10;

pub(crate) fn run(command: GitCommand, session: &Session) -> anyhow::Result<()> {
    match command {
        GitCommand::Remote(args) => remote(args, session),
        GitCommand::Credential(args) => credential(&args, session),
    }
}

fn remote(args: RemoteArgs, session: &Session) -> anyhow::Result<()> {
    let dir = or_here(args.path);
    let name = Project::open(&dir, Overrides { name: args.name, ..Overrides::default() })?.name;
    let (endpoint, _) = session.endpoint_and_key()?;
    let endpoint = endpoint.trim_end_matches('/');
    let url = format!("{endpoint}/git/{name}");
    let program = std::env::current_exe().context("cannot name this program")?;
    let helper = format!("!{} git credential", quoted(&program.display().to_string()));
    // What was there under this name is replaced, so that a second call changes the server.
    let known = git(&dir, &["remote", "get-url", &args.remote], true)?;
    let verb = if known { "set-url" } else { "add" };
    git(&dir, &["remote", verb, &args.remote, &url], false)?;
    git(&dir, &["config", "--local", &format!("credential.{endpoint}.helper"), &helper], false)?;
    let report = json!({ "remote": args.remote, "url": url, "function": name });
    session.out.done(format_args!("{} is {url}; deploy with: git push {} main", args.remote, args.remote), &report)
}

/// Runs git here; tells whether it succeeded where that is a question.
fn git(dir: &Path, words: &[&str], asks: bool) -> anyhow::Result<bool> {
    let output = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(["-c", "core.fsmonitor=false"])
        .args(words)
        .stdin(Stdio::null())
        .output();
    let output = output.context("cannot run git")?;
    if output.status.success() || asks {
        return Ok(output.status.success());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let message = format!("git: {}", said.trim().trim_start_matches("fatal: "));
    Err(Failure { message, exit: 1, ..Failure::default() }.with_hint("make a repository first: git init").into())
}

fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', "'\\''"))
}

/// Answers git's question for a password with the key of the server that is asked about, and of no other.
fn credential(args: &CredentialArgs, session: &Session) -> anyhow::Result<()> {
    if args.action != "get" {
        return Ok(());
    }
    let mut question = String::new();
    std::io::stdin().take(QUESTION_MAX).read_to_string(&mut question).context("cannot read git's question")?;
    let said: HashMap<&str, &str> = question.lines().filter_map(|line| line.split_once('=')).collect();
    let (Some(protocol), Some(host)) = (said.get("protocol"), said.get("host")) else { return Ok(()) };
    if let Some(key) = session.key_of(&format!("{protocol}://{host}"))? {
        session.out.line(format_args!("username=faas\npassword={key}"))?;
    }
    Ok(())
}
