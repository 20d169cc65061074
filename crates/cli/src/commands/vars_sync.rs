//! `faas vars pull`, `push` and `diff`: a `.env` file and the vars of a function.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;
use clap::Args;
use faas_client::Rows;
use faas_client::rest::{SetVars, VarView};
use faas_config::{Manifest, SourceDir, check_var};
use faas_source::env_file::{EnvFile, VARS_FILE_MAX, read_vars_file};
use faas_terminal::failure::Failure;
use faas_terminal::session::Session;
use faas_terminal::text::visible;
use faas_types::{Code, Stage, limits};
use serde::Serialize;

use super::secret_values::refuse_secrets;

/// The file of vars that a directory has.
const OWN: &str = ".env";
/// Bytes of a `.gitignore`.
const GITIGNORE_MAX: u64 = 1 << 20;
/// Characters of a value that a difference shows.
const SHOWN: usize = 60;

/// Bring the vars of a function into a .env file
///
/// Vars that are there get the server's value, new ones come at the end, and whatever else is in the file stays. Secrets come
/// as comments with their names alone. The file is for its owner only, and in a git repository it is ignored.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas vars pull hello\n  faas vars pull hello --stage dev --file dev.env")]
pub(crate) struct PullArgs {
    #[command(flatten)]
    of: Of,
}

/// Set what differs in a .env file
///
/// Shows what it changes first. Vars that the file does not name stay, unless --prune says otherwise, and those that refer
/// to secrets stay in any case.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas vars push hello\n  faas vars push hello --prune --file prod.env")]
pub(crate) struct PushArgs {
    #[command(flatten)]
    of: Of,
    /// Also remove vars that were set for the function and are not in the file
    #[arg(long)]
    prune: bool,
    /// Take values that look like keys of known services as vars all the same
    #[arg(long)]
    plain: bool,
}

/// Show what differs between a .env file and the server; exits with 1 where something does
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas vars diff hello\n  faas vars diff hello --stage staging -o json")]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Args)]
struct Of {
    /// The function [default: that of the manifest in this directory]
    name: Option<String>,
    /// The file
    #[arg(long, value_name = "FILE", default_value = OWN)]
    file: PathBuf,
    /// The stage: dev, staging or prod
    #[arg(long, default_value_t)]
    stage: Stage,
}

/// What differs. Values of secrets are on neither side.
#[derive(Debug, Default, Serialize)]
struct Difference {
    /// In the file alone.
    added: BTreeMap<String, String>,
    /// On both sides, with other values.
    changed: BTreeMap<String, Change>,
    /// On the server alone.
    missing: BTreeMap<String, Missing>,
    /// In the file, but on the server from secrets: left alone.
    secret: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Change {
    file: String,
    server: String,
}

#[derive(Debug, Serialize)]
struct Missing {
    server: String,
    /// Whether it was set for the function in this very stage, so that it can be removed.
    removable: bool,
}

pub(crate) async fn pull(args: &PullArgs, session: &Session) -> anyhow::Result<()> {
    let function = args.of.function()?;
    let vars = session.client()?.vars(Some(&function), args.of.stage, &Rows::all()).await?.items;
    let mut file = args.of.local()?.unwrap_or_default();
    let before = file.clone();
    for var in &vars {
        if var.secrets.is_empty() {
            file.set(&var.key, &var.value);
        } else {
            file.mention(&var.key, &var.secrets);
        }
    }
    let path = write_private(&args.of.file, &file.text())?;
    keep_out_of_git(&path, session);
    let changed = file != before;
    let report = serde_json::json!({ "file": args.of.file, "vars": vars.len(), "changed": changed });
    let how = if changed { "changed" } else { "as it was" };
    session.out.done(format_args!("{}: {} of {function}, {how}", args.of.file.display(), counted(vars.len())), &report)
}

pub(crate) async fn push(args: &PushArgs, session: &Session) -> anyhow::Result<()> {
    let function = args.of.function()?;
    let client = session.client()?;
    let server = client.vars(Some(&function), args.of.stage, &Rows::all()).await?.items;
    let difference = args.of.difference(&server)?;
    let vars: BTreeMap<String, String> = difference.to_set();
    for (key, value) in &vars {
        check_var(key, value).map_err(|message| Failure::of(Code::InvalidConfiguration, message))?;
    }
    if !args.plain {
        refuse_secrets(&vars, args.of.stage)?;
    }
    let removed: Vec<String> = if args.prune { difference.removable() } else { Vec::new() };
    difference.lines(args.prune).iter().for_each(|line| session.out.note(line));
    for key in &difference.secret {
        session
            .out
            .note(format_args!("{} comes from a secret and stays; change it with faas secrets set", visible(key)));
    }
    if !vars.is_empty() {
        client.set_vars(Some(&function), args.of.stage, &SetVars { vars: vars.clone() }).await?;
    }
    for key in &removed {
        client.unset_var(Some(&function), args.of.stage, key).await?;
    }
    let set: Vec<&String> = vars.keys().collect();
    let report = serde_json::json!({ "set": set, "removed": removed, "secret": difference.secret });
    session.out.done(format_args!("{function}: {} set, {} removed", set.len(), removed.len()), &report)
}

pub(crate) async fn diff(args: &DiffArgs, session: &Session) -> anyhow::Result<ExitCode> {
    let function = args.of.function()?;
    let server = session.client()?.vars(Some(&function), args.of.stage, &Rows::all()).await?.items;
    let difference = args.of.difference(&server)?;
    match session.out.format {
        faas_terminal::global_args::Format::Table => {
            difference.lines(true).iter().try_for_each(|line| session.out.line(line))?;
        }
        _ => session.out.json(&difference)?,
    }
    Ok(if difference.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

// === impl Of ===

impl Of {
    fn function(&self) -> anyhow::Result<String> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let unnamed = || Failure::usage("no function is named, and no manifest here names one");
        let (_, manifest) = Manifest::load(Path::new(".")).map_err(|_| unnamed())?;
        Ok(manifest.name.ok_or_else(unnamed)?.to_string())
    }

    /// Whether the file is the one that a directory has, which may be a stranger's: a link in its place is not followed.
    fn is_of_the_directory(&self) -> bool {
        self.file == Path::new(OWN)
    }

    fn local(&self) -> anyhow::Result<Option<EnvFile>> {
        if self.is_of_the_directory() {
            let text = SourceDir::open(Path::new(".")).and_then(|source| source.text(OWN, VARS_FILE_MAX));
            return match text {
                Ok(text) => Ok(Some(EnvFile::read(&text, OWN)?)),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error).with_context(|| format!("cannot read {OWN}; or name it with --file")),
            };
        }
        match fs::metadata(&self.file) {
            Ok(_) => Ok(Some(EnvFile::read(&read_vars_file(&self.file)?, &self.file.display().to_string())?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.file.display())),
        }
    }

    fn difference(&self, server: &[VarView]) -> anyhow::Result<Difference> {
        let Some(file) = self.local()? else {
            let failure = Failure::usage(format!("there is no {}", self.file.display()));
            return Err(failure.with_hint("bring it here with faas vars pull").into());
        };
        Ok(Difference::between(&file.vars(), server, self.stage))
    }
}

// === impl Difference ===

impl Difference {
    fn between(file: &BTreeMap<String, String>, server: &[VarView], stage: Stage) -> Self {
        let mut difference = Self::default();
        for (key, value) in file {
            match server.iter().find(|var| var.key == *key) {
                None => drop(difference.added.insert(key.clone(), value.clone())),
                Some(var) if !var.secrets.is_empty() => difference.secret.push(key.clone()),
                Some(var) if var.value == *value => {}
                Some(var) => {
                    let change = Change { file: value.clone(), server: var.value.clone() };
                    difference.changed.insert(key.clone(), change);
                }
            }
        }
        for var in server.iter().filter(|var| var.secrets.is_empty() && !file.contains_key(&var.key)) {
            let removable = var.source == "function" && var.stage == Some(stage);
            difference.missing.insert(var.key.clone(), Missing { server: var.value.clone(), removable });
        }
        difference
    }

    fn is_none(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.missing.is_empty()
    }

    fn to_set(&self) -> BTreeMap<String, String> {
        let changed = self.changed.iter().map(|(key, change)| (key.clone(), change.file.clone()));
        self.added.clone().into_iter().chain(changed).collect()
    }

    fn removable(&self) -> Vec<String> {
        self.missing.iter().filter(|(_, var)| var.removable).map(|(key, _)| key.clone()).collect()
    }

    /// What pushing would do, for people; what is on the server alone only where that is asked for.
    fn lines(&self, with_missing: bool) -> Vec<String> {
        let line = |sign: char, key: &str, value: &str| {
            let shown: String = value.chars().take(SHOWN).collect();
            let more = if shown.len() < value.len() { "…" } else { "" };
            format!("{sign} {}={}{more}", visible(key), visible(&shown))
        };
        let mut lines: Vec<String> = self.added.iter().map(|(key, value)| line('+', key, value)).collect();
        for (key, change) in &self.changed {
            lines.extend([line('-', key, &change.server), line('+', key, &change.file)]);
        }
        if with_missing {
            lines.extend(self.missing.iter().map(|(key, var)| line('-', key, &var.server)));
        }
        lines
    }
}

fn counted(vars: usize) -> String {
    faas_terminal::text::counted(vars, "var")
}

/// Replaces a file at one stroke by one that only its owner reads. Where the path is a link, its target is replaced.
fn write_private(path: &Path, text: &str) -> anyhow::Result<PathBuf> {
    let most = limits::VARS_MAX * limits::VAR_VALUE_MAX;
    anyhow::ensure!(text.len() <= most, "{} would be larger than {most} bytes", path.display());
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(_) => std::path::absolute(path)?,
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let draft = path.with_file_name(format!(".{name}.{}.draft", std::process::id()));
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &path)
    };
    written()
        .inspect_err(|_| drop(fs::remove_file(&draft)))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Adds a file to the `.gitignore` beside it where git would take it in. Without git nothing happens.
fn keep_out_of_git(path: &Path, session: &Session) {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return };
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        // A repository that came as an archive may name a program there.
        command.current_dir(dir).args(["-c", "core.fsmonitor=false"]).args(args).arg("--").arg(name);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.ok().and_then(|status| status.code())
    };
    if git(&["ls-files", "--error-unmatch"]) == Some(0) {
        session.out.note(format_args!("{name} is in the repository already; take it out with git rm --cached {name}"));
    } else if git(&["check-ignore", "-q"]) == Some(1) {
        let ignore = dir.join(".gitignore");
        match append_line(dir, ".gitignore", &format!("/{name}")) {
            Ok(()) => session.out.note(format_args!("added {name} to {}", ignore.display())),
            Err(error) => session.out.note(format_args!("add {name} to {} yourself: {error}", ignore.display())),
        }
    }
}

fn append_line(dir: &Path, name: &str, line: &str) -> std::io::Result<()> {
    let source = SourceDir::open(dir)?;
    let mut text = match source.read(name, GITIGNORE_MAX) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    text.extend_from_slice(line.as_bytes());
    text.push(b'\n');
    source.write(name, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn var(key: &str, value: &str, source: &str, secrets: &[&str]) -> VarView {
        VarView {
            key: key.into(),
            value: value.into(),
            source: source.into(),
            stage: (source == "function").then_some(Stage::Prod),
            secrets: secrets.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn only_what_differs_is_pushed_and_secrets_never_are() {
        let file = EnvFile::read("A=1\nB=2\nNEW=x\nKEY=local\n", "x").expect("good lines").vars();
        let server = [
            var("A", "1", "manifest", &[]),
            var("B", "old", "manifest", &[]),
            var("KEY", "${secrets.K}", "manifest", &["K"]),
            var("OTHER", "${secrets.K}", "function", &["K"]),
            var("GONE", "z", "function", &[]),
            var("FIXED", "m", "manifest", &[]),
        ];
        let difference = Difference::between(&file, &server, Stage::Prod);
        assert_eq!(difference.to_set().keys().collect::<Vec<_>>(), ["B", "NEW"]);
        assert_eq!(difference.removable(), ["GONE"]);
        assert_eq!(difference.secret, ["KEY"]);
        assert_eq!(difference.lines(false), ["+ NEW=x", "- B=old", "+ B=2"]);
        assert!(!difference.is_none());
        assert_eq!(Difference::between(&file, &server, Stage::Dev).removable(), Vec::<String>::new());
    }

    #[test]
    fn the_file_is_private_and_replaced_whole() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("temp dir");
        let (path, link) = (dir.path().join("real.env"), dir.path().join(".env"));
        fs::write(&path, "A=1\n").expect("write");
        std::os::unix::fs::symlink(&path, &link).expect("link");
        write_private(&link, "A=2\n").expect("replace");
        assert!(fs::symlink_metadata(&link).expect("stat").is_symlink());
        assert_eq!(fs::read_to_string(&path).expect("read"), "A=2\n");
        assert_eq!(fs::metadata(&path).expect("stat").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 2, "nothing else is left");
    }
}
