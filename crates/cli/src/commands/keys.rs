//! `faas keys`

use clap::{Args, Subcommand, ValueEnum};
use faas_client::Client;
use faas_client::rest::{CreateKey, KeyView};
use faas_terminal::confirmation::Confirmation;
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use faas_types::{Code, Scope};

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// List keys
    List(ListArgs),
    /// Create a key and print it, once
    Create(CreateArgs),
    /// Revoke a key at once
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas keys list\n  faas keys list -o json")]
pub(crate) struct ListArgs {}

#[derive(Debug, Args)]
#[command(after_help = CREATE_EXAMPLES)]
pub(crate) struct CreateArgs {
    /// What people call it
    name: String,
    /// What it may do: admin, project:admin, functions:read, functions:write, deploy, secrets:write, invoke, runs:read,
    /// runs:write, metrics:read; may be repeated
    #[arg(short, long = "scope", value_name = "SCOPE", value_delimiter = ',', required_unless_present = "preset")]
    scopes: Vec<Scope>,
    /// The scopes of a purpose; `--scope` adds to them
    #[arg(long, value_enum, value_name = "PRESET")]
    preset: Option<Preset>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas keys revoke ci\n  faas keys revoke key_01JD2Z7Y5T0000000000000000")]
pub(crate) struct RevokeArgs {
    /// The key's name or id, as `faas keys list` shows them
    #[arg(value_name = "NAME|ID")]
    key: String,
    #[command(flatten)]
    confirmation: Confirmation,
}

const CREATE_EXAMPLES: &str = "\
Examples:
  faas keys create github --preset ci
  faas keys create web --scope invoke --scope runs:read -o json";

/// What keys are made for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Preset {
    /// A pipeline: deploy
    Ci,
    /// An application: invoke
    App,
    /// Who looks: functions:read, runs:read
    Viewer,
    /// An author of functions: functions:write, secrets:write, invoke, runs:write
    Developer,
}

// === impl Preset ===

impl Preset {
    fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Ci => &[Scope::Deploy],
            Self::App => &[Scope::Invoke],
            Self::Viewer => &[Scope::FunctionsRead, Scope::RunsRead],
            Self::Developer => &[Scope::FunctionsWrite, Scope::SecretsWrite, Scope::Invoke, Scope::RunsWrite],
        }
    }
}

pub(crate) async fn run(command: KeysCommand, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    match command {
        KeysCommand::List(_) => {
            let list = client.keys().await?;
            if list.keys.is_empty() {
                session.out.empty("no keys yet; try: faas keys create NAME --scope invoke");
            }
            session.out.list(&list, &list.keys, table)
        }
        KeysCommand::Create(args) => {
            let preset = args.preset.map(Preset::scopes).unwrap_or_default();
            let scopes = args.scopes.into_iter().chain(preset.iter().copied()).collect();
            let created = client.create_key(&CreateKey { name: args.name, scopes }).await?;
            if session.out.format != Format::Table {
                return session.out.json(&created);
            }
            session.out.line(&created.key)?;
            session.out.note(format_args!("keep it: it is not shown again (id {})", created.view.id));
            Ok(())
        }
        KeysCommand::Revoke(args) => {
            let act = format!("revoke key `{}`", text::visible(&args.key));
            args.confirmation.check(&act, &session.out)?;
            let id = id_of(&args.key, &client).await?;
            args.confirmation.ask(&act, &session.out)?;
            client.revoke_key(&id).await?;
            session.out.remark(format_args!("revoked {}", text::visible(&args.key)));
            Ok(())
        }
    }
}

/// The id of the key that a name or an id stands for. Names need not be unique.
async fn id_of(key: &str, client: &Client) -> anyhow::Result<String> {
    if key.starts_with("key_") {
        return Ok(key.to_owned());
    }
    let keys = client.keys().await?.keys;
    let named: Vec<_> = keys.into_iter().filter(|one| one.name == key && one.revoked_at.is_none()).collect();
    match named.as_slice() {
        [one] => Ok(one.id.clone()),
        [] => Err(Failure::of(Code::NotFound, format!("there is no active key named `{}`", text::visible(key)))
            .with_hint("see `faas keys list`")
            .into()),
        several => {
            let ids: Vec<_> = several.iter().map(|one| one.id.as_str()).collect();
            let message =
                format!("{} active keys are named `{}`: {}", several.len(), text::visible(key), ids.join(", "));
            Err(Failure::of(Code::Conflict, message).with_hint("revoke one by its id").into())
        }
    }
}

fn table(keys: &[KeyView]) -> Table {
    let mut table = Table::with_headings(["ID", "NAME", "KEY", "SCOPES", "CREATED", "REVOKED"]);
    for key in keys {
        let scopes = key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",");
        let revoked = key.revoked_at.as_deref().map(text::when).unwrap_or_default();
        let prefix = format!("{}…", key.prefix);
        table.row([key.id.clone(), key.name.clone(), prefix, scopes, text::when(&key.created_at), revoked]);
    }
    table
}
