//! `faas secrets`

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use faas_client::rest::{SecretVersionView, SecretView, SetSecret};
use faas_terminal::confirmation::Confirmation;
use faas_terminal::failure::Failure;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use faas_types::{Code, SecretName, Stage, limits};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::commands::rows::{self, RowArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// List secrets and who uses them; values are never shown
    List(ListArgs),
    Set(SetArgs),
    /// Delete a secret with all its versions
    #[command(alias = "unset")]
    Delete(DeleteArgs),
    /// List the versions of a secret that are kept
    Versions(VersionsArgs),
    /// Give a secret an earlier value again
    Restore(RestoreArgs),
    Rekey(RekeyArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas secrets list\n  faas secrets list --stage staging -o json")]
pub(crate) struct ListArgs {
    /// Those that this stage sees, inherited ones included [default: those of every stage]
    #[arg(long)]
    stage: Option<Stage>,
    #[command(flatten)]
    rows: RowArgs,
}

/// Give a secret another value, read from standard input
///
/// Functions refer to it in a var: API_KEY = "${secrets.STRIPE}". Instances that use it are replaced, nothing has to be
/// deployed. On a terminal the value is asked for and not shown. One line break at the end is not part of it.
#[derive(Debug, Args)]
#[command(after_help = SET_EXAMPLES)]
pub(crate) struct SetArgs {
    /// The secret: letters, digits and _
    name: String,
    /// A file with the value, or - for standard input
    #[arg(long, alias = "from-file", value_name = "FILE")]
    file: Option<PathBuf>,
    /// The stage; dev and staging see those of prod where they have none of their own
    #[arg(long, default_value_t)]
    stage: Stage,
}

const SET_EXAMPLES: &str = "\
Examples:
  faas secrets set STRIPE
  faas secrets set STRIPE --stage staging
  faas secrets set TLS_KEY --file key.pem";

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas secrets delete STRIPE\n  faas secrets delete STRIPE --stage dev --force")]
pub(crate) struct DeleteArgs {
    /// The secret
    name: SecretName,
    /// The stage
    #[arg(long, default_value_t)]
    stage: Stage,
    /// Also when functions use it, whose new instances do not start then
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas secrets versions STRIPE")]
pub(crate) struct VersionsArgs {
    /// The secret
    name: SecretName,
    /// The stage
    #[arg(long, default_value_t)]
    stage: Stage,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas secrets restore STRIPE 3")]
pub(crate) struct RestoreArgs {
    /// The secret
    name: SecretName,
    /// The version whose value it gets, as a version of its own
    version: u64,
    /// The stage
    #[arg(long, default_value_t)]
    stage: Stage,
}

/// Change the key that everything is encrypted with
///
/// Makes a new key and seals all secrets anew under it, those of webhooks and callbacks too. When it is broken off,
/// everything stays readable; run it again to finish. Old keys stay in the key file, for backups of the database.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas secrets rekey")]
pub(crate) struct RekeyArgs {}

pub(crate) async fn run(command: SecretsCommand, session: &Session) -> anyhow::Result<()> {
    match command {
        SecretsCommand::List(args) => {
            let list = session.client()?.secrets(args.stage, &args.rows.rows()).await?;
            rows::print(&list, &session.out, "no secrets yet; try: faas secrets set NAME", table)
        }
        SecretsCommand::Set(args) => set(args, session).await,
        SecretsCommand::Delete(DeleteArgs { name, stage, force, confirmation }) => {
            confirmation.ask(format_args!("delete secret `{name}` of stage {stage}"), &session.out)?;
            session.client()?.unset_secret(stage, name.as_str(), force).await?;
            session.out.remark(format_args!("deleted {name} of stage {stage}"));
            Ok(())
        }
        SecretsCommand::Versions(args) => {
            let secret = session.client()?.secret(args.stage, args.name.as_str()).await?;
            session.out.list(&secret, &secret.versions, versions)
        }
        SecretsCommand::Restore(RestoreArgs { name, version, stage }) => {
            let secret = session.client()?.restore_secret(stage, name.as_str(), version).await?;
            tell(&secret, session)
        }
        SecretsCommand::Rekey(RekeyArgs {}) => {
            let report = session.client()?.rekey().await?;
            for named in &report.unreadable {
                session.out.note(format_args!("{} does not open under any key; set it again", text::visible(named)));
            }
            let remark = format!("{} are under a new key", text::counted(report.resealed as usize, "value"));
            session.out.done(remark, &report)
        }
    }
}

async fn set(args: SetArgs, session: &Session) -> anyhow::Result<()> {
    // Not repeated in the message: it may hold the value.
    let unnamed = |_| match args.name.contains('=') {
        true => Failure::usage("the value does not belong in the command line, where others can see it")
            .with_hint("give the name alone, and the value on standard input"),
        false => Failure::of(Code::InvalidConfiguration, "a secret's name has letters, digits and _ only")
            .with_hint("it does not start with a digit, and has at most 100 characters"),
    };
    let name: SecretName = args.name.parse().map_err(unnamed)?;
    let value = match &args.file {
        Some(path) if path.as_os_str() != "-" => {
            let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            read(file, path)?
        }
        None if std::io::stdin().is_terminal() => ask(&name, session)?,
        _ => read(std::io::stdin().lock(), Path::new("-"))?,
    };
    if value.is_empty() {
        return Err(Failure::usage("the value is empty; give it on standard input").into());
    }
    if value.len() < limits::REDACTED_MIN {
        session.out.note(format_args!(
            "{name} has fewer than {} characters, too few to be taken out of logs",
            limits::REDACTED_MIN
        ));
    }
    let secret = session.client()?.set_secret(args.stage, name.as_str(), &SetSecret { value }).await?;
    tell(&secret, session)
}

fn tell(secret: &SecretView, session: &Session) -> anyhow::Result<()> {
    let remark = format!("{} of stage {} is at version {}", text::visible(&secret.name), secret.stage, secret.version);
    session.out.done(remark, secret)
}

fn read(from: impl Read, name: &Path) -> anyhow::Result<Zeroizing<String>> {
    // Of its whole size at once: growing would leave pieces of the value behind in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limits::SECRET_VALUE_MAX + 3));
    from.take(limits::SECRET_VALUE_MAX as u64 + 3)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", name.display()))?;
    let not_text = |_| Failure::usage("the value is not text; encode it first, in base64 for one");
    let text = std::str::from_utf8(&bytes).map_err(not_text)?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.len() > limits::SECRET_VALUE_MAX {
        return Err(Failure::usage(format!("the value is larger than {} bytes", limits::SECRET_VALUE_MAX)).into());
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// A terminal whose echo is off as long as this lives.
struct Silence(Termios);

impl Silence {
    fn keep() -> rustix::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that went away needs no echo either.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

fn ask(name: &SecretName, session: &Session) -> anyhow::Result<Zeroizing<String>> {
    session.out.note(format_args!("value of {name} (not shown; ends with the line):"));
    let _silence = Silence::keep().context("cannot turn off the terminal's echo; give the value on standard input")?;
    let mut line = Zeroizing::new(String::with_capacity(limits::SECRET_VALUE_MAX + 3));
    std::io::stdin().read_line(&mut line).context("cannot read the terminal")?;
    let text = line.trim_end_matches(['\n', '\r']);
    Ok(Zeroizing::new(text.to_owned()))
}

fn table(secrets: &[SecretView]) -> Table {
    let mut table = Table::with_headings(["NAME", "STAGE", "VERSION", "UPDATED", "USED BY"]);
    for row in secrets {
        let users = row.used_by.as_deref().unwrap_or_default();
        let used_by = if users.is_empty() { "-".to_owned() } else { users.join(", ") };
        table.row([
            row.name.clone(),
            row.stage.to_string(),
            row.version.to_string(),
            text::when(&row.updated_at),
            used_by,
        ]);
    }
    table
}

fn versions(versions: &[SecretVersionView]) -> Table {
    let mut table = Table::with_headings(["VERSION", "CREATED", "RESTORED FROM"]);
    for row in versions {
        let from = row.restored_from.map_or_else(|| "-".to_owned(), |number| number.to_string());
        table.row([row.version.to_string(), text::when(&row.created_at), from]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_at_the_end_is_not_part_of_a_value() {
        let cases = [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("", ""), ("a\r", "a\r")];
        for (given, expected) in cases {
            let value = read(given.as_bytes(), Path::new("-")).expect("text");
            assert_eq!(value.as_str(), expected, "{given:?}");
        }
        assert!(read(&[0xff_u8][..], Path::new("-")).is_err());
        assert!(read(vec![b'x'; limits::SECRET_VALUE_MAX + 1].as_slice(), Path::new("-")).is_err());
        assert!(read(vec![b'x'; limits::SECRET_VALUE_MAX].as_slice(), Path::new("-")).is_ok());
    }
}
