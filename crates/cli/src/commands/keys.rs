//! `faas keys`

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use faas_client::rest::{CreateKey, KeyView, UpdateKey};
use faas_client::{Client, Rows};
use faas_terminal::confirmation::Confirmation;
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use faas_types::{Code, Scope, Span, Timestamp};

use crate::commands::rows::{self, RowArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// List keys
    List(ListArgs),
    /// Show a key
    Get(GetArgs),
    /// Create a key and print it, once
    Create(CreateArgs),
    /// Change a key, at once
    Update(UpdateArgs),
    /// Revoke a key at once
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas keys list\n  faas keys list -o json")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    rows: RowArgs,
}

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
    /// When it ends by itself: in so long, such as `90d`, or at a time such as `2027-01-31T00:00:00Z`
    #[arg(long, value_name = "TIME")]
    expires: Option<End>,
    /// Restrict it to this function, by name or id; may be repeated
    #[arg(long = "function", value_name = "NAME", value_delimiter = ',')]
    functions: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas keys get ci\n  faas keys get key_01JD2Z7Y5T0000000000000000 -o json")]
pub(crate) struct GetArgs {
    /// The key's name or id, as `faas keys list` shows them
    #[arg(value_name = "NAME|ID")]
    key: String,
}

#[derive(Debug, Args)]
#[command(after_help = UPDATE_EXAMPLES)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["name", "scopes", "expires", "functions", "all_functions"]))]
pub(crate) struct UpdateArgs {
    /// The key's name or id, as `faas keys list` shows them
    #[arg(value_name = "NAME|ID")]
    key: String,
    /// What people call it from now on
    #[arg(long)]
    name: Option<String>,
    /// What it may do from now on; may be repeated
    #[arg(short, long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    scopes: Vec<Scope>,
    /// When it ends by itself: in so long, such as `90d`, at a time such as `2027-01-31T00:00:00Z`, or `never`
    #[arg(long, value_name = "TIME")]
    expires: Option<End>,
    /// Restrict it to this function, by name or id; may be repeated
    #[arg(long = "function", value_name = "NAME", value_delimiter = ',', conflicts_with = "all_functions")]
    functions: Vec<String>,
    /// Restrict it to no function
    #[arg(long)]
    all_functions: bool,
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
  faas keys create github --preset ci --function mail --expires 90d
  faas keys create web --scope invoke --scope runs:read -o json";

const UPDATE_EXAMPLES: &str = "\
Examples:
  faas keys update github --expires 90d
  faas keys update web --scope invoke --function hello --function mail";

/// When a key ends.
#[derive(Clone, Debug)]
enum End {
    Never,
    At(String),
}

// === impl End ===

impl End {
    fn at(self) -> Option<String> {
        match self {
            Self::Never => None,
            Self::At(time) => Some(time),
        }
    }
}

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        let time = match text.parse::<Span>() {
            Ok(span) => {
                let end = SystemTime::now() + span.get();
                let millis = end.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
                Timestamp::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
            }
            Err(_) => {
                text.parse().map_err(|_| "write how long, such as 90d, or a time such as 2027-01-31T00:00:00Z")?
            }
        };
        Ok(Self::At(time.to_string()))
    }
}

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
        KeysCommand::List(args) => {
            let list = client.keys(&args.rows.rows()).await?;
            rows::print(&list, &session.out, "no keys yet; try: faas keys create NAME --scope invoke", table)
        }
        KeysCommand::Create(args) => {
            let preset = args.preset.map(Preset::scopes).unwrap_or_default();
            let scopes = args.scopes.into_iter().chain(preset.iter().copied()).collect();
            let expires_at = args.expires.and_then(End::at);
            let body = CreateKey { name: args.name, scopes, expires_at, functions: args.functions };
            let created = client.create_key(&body).await?;
            if session.out.format != Format::Table {
                return session.out.json(&created);
            }
            session.out.line(created.key.as_deref().unwrap_or_default())?;
            session.out.note(format_args!("keep it: it is not shown again (id {})", created.view.id));
            Ok(())
        }
        KeysCommand::Get(args) => {
            let key = client.key(&id_of(&args.key, &client).await?).await?;
            session.out.list(&key, std::slice::from_ref(&key), table)
        }
        KeysCommand::Update(args) => {
            let UpdateArgs { key, name, scopes, expires, functions, all_functions } = args;
            let body = UpdateKey {
                name,
                scopes: (!scopes.is_empty()).then_some(scopes),
                expires_at: expires.map(End::at),
                functions: (all_functions || !functions.is_empty()).then_some(Some(functions)),
            };
            let key = client.update_key(&id_of(&key, &client).await?, &body).await?;
            session.out.list(&key, std::slice::from_ref(&key), table)
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
    let keys = client.keys(&Rows::all()).await?.items;
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
    let mut table = Table::with_headings([
        "ID",
        "NAME",
        "KEY",
        "SCOPES",
        "FUNCTIONS",
        "CREATED",
        "LAST USED",
        "EXPIRES",
        "REVOKED",
    ]);
    for key in keys {
        let scopes = key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",");
        let functions = if key.functions.is_empty() { "all".to_owned() } else { key.functions.join(",") };
        let when = |time: &Option<String>, never: &str| time.as_deref().map_or_else(|| never.to_owned(), text::when);
        let prefix = format!("{}…", key.prefix);
        table.row([
            key.id.clone(),
            key.name.clone(),
            prefix,
            scopes,
            functions,
            text::when(&key.created_at),
            when(&key.last_used_at, "never"),
            when(&key.expires_at, "never"),
            when(&key.revoked_at, ""),
        ]);
    }
    table
}
