//! `faas settings upload-policy`

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use faas_client::rest::{PolicyView, SetPolicy};
use faas_terminal::confirmation::Confirmation;
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use faas_types::{Code, PreflightRules};

/// Bytes of a file with rules: five lists of a hundred patterns with a thousand bytes each.
const RULES_MAX: u64 = 1 << 20;

#[derive(Debug, Subcommand)]
pub(crate) enum UploadPolicyCommand {
    /// Show the rules that uploads are checked against, and whose each is
    Get(GetArgs),
    Set(SetArgs),
    /// Leave the project with the server's rules alone
    Reset(ResetArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas settings upload-policy get\n  faas settings upload-policy get --toml > rules.toml"
)]
pub(crate) struct GetArgs {
    /// Only the project's rules, as `set` takes them
    #[arg(long)]
    toml: bool,
}

/// Replace the project's rules by those of a file
///
/// They come on top of the server's and loosen none of them. The file is TOML with the keys secrets, blocked_files, blocked_text,
/// blocked_imports and allow_secrets.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas settings upload-policy set rules.toml\n  faas settings upload-policy set - < rules.toml"
)]
pub(crate) struct SetArgs {
    /// The file; - for standard input
    file: PathBuf,
    /// The revision that they replace; refused when others came first
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas settings upload-policy reset")]
pub(crate) struct ResetArgs {
    #[command(flatten)]
    confirmation: Confirmation,
}

pub(crate) async fn run(command: UploadPolicyCommand, session: &Session) -> anyhow::Result<()> {
    match command {
        UploadPolicyCommand::Get(GetArgs { toml }) => {
            let policy = session.client()?.preflight_policy().await?;
            if toml {
                let rules = policy.project.map(|project| project.rules).unwrap_or_default();
                return session.out.bytes(toml::to_string_pretty(&rules)?.as_bytes());
            }
            show(&policy, session)
        }
        UploadPolicyCommand::Set(SetArgs { file, revision }) => {
            let rules = read(&file)?;
            let policy = session.client()?.set_preflight_policy(&SetPolicy { rules, revision }).await?;
            show(&policy, session)
        }
        UploadPolicyCommand::Reset(ResetArgs { confirmation }) => {
            confirmation.ask("reset the project's upload rules", &session.out)?;
            session.client()?.reset_preflight_policy().await?;
            session.out.remark("the server's rules alone hold");
            Ok(())
        }
    }
}

fn read(file: &Path) -> anyhow::Result<PreflightRules> {
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        std::io::stdin().lock().take(RULES_MAX + 1).read_to_end(&mut bytes)?;
    } else {
        let open = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        open.take(RULES_MAX + 1).read_to_end(&mut bytes)?;
    }
    let shown = file.display();
    let invalid = |why: &str| Failure::of(Code::InvalidConfiguration, format!("{shown}: {why}"));
    if bytes.len() as u64 > RULES_MAX {
        return Err(invalid("larger than 1 MB").into());
    }
    let text = String::from_utf8(bytes).map_err(|_| invalid("not UTF-8"))?;
    toml::from_str(&text).map_err(|error| {
        let place = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        let failure = Failure::of(Code::InvalidConfiguration, format!("{shown}:{place}: {}", error.message().trim()));
        failure.with_hint("`faas settings upload-policy get --toml` shows a file that fits").into()
    })
}

fn show(policy: &PolicyView, session: &Session) -> anyhow::Result<()> {
    if session.out.format != Format::Table {
        return session.out.json(policy);
    }
    let mut table = Table::with_headings(["RULE", "PATTERN", "WHOSE"]);
    rows(&mut table, &policy.operator, "server");
    if let Some(project) = &policy.project {
        rows(&mut table, &project.rules, "project");
    }
    session.out.bytes(table.render().as_bytes())?;
    if let Some(project) = &policy.project {
        let (by, at) = (text::visible(&project.actor.name), text::time(&project.set_at));
        session.out.note(format_args!("the project's rules are of {by}, {at}, revision {}", project.revision));
    }
    Ok(())
}

fn rows(table: &mut Table, rules: &PreflightRules, whose: &str) {
    if rules.secrets {
        table.row(["secrets".into(), "known formats".into(), whose.into()]);
    }
    let kinds = [
        ("blocked file", &rules.blocked_files),
        ("blocked text", &rules.blocked_text),
        ("blocked import", &rules.blocked_imports),
        ("allowed secret", &rules.allow_secrets),
    ];
    for (kind, patterns) in kinds {
        patterns.iter().for_each(|pattern| table.row([kind.into(), pattern.clone(), whose.into()]));
    }
}
