//! `faas login`, `faas logout`, `faas whoami`

use std::io::{BufRead, IsTerminal, Read};

use anyhow::Context;
use clap::Args;
use faas_client::rest::CallerView;
use faas_client::{ApiKey, Client, Connection};
use faas_terminal::failure::Failure;
use faas_terminal::profile::Profile;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::json;
use tokio::sync::oneshot;

/// Store a key for a server and use that server
///
/// The key comes from standard input, or is asked for on a terminal without being shown. The server is asked whether it is good
/// before it is kept, in a file that only you can read.
#[derive(Debug, Args)]
#[command(after_help = LOGIN_EXAMPLES)]
pub(crate) struct LoginArgs {
    /// The server [default: --endpoint, FAAS_ENDPOINT or the profile's]
    #[arg(value_name = "URL")]
    url: Option<String>,
}

/// Delete the stored key of a server
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas logout\n  faas logout http://10.0.0.5:8080")]
pub(crate) struct LogoutArgs {
    /// The server [default: --endpoint, FAAS_ENDPOINT or the profile's]
    #[arg(value_name = "URL")]
    url: Option<String>,
}

/// Show which server and which key commands use
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas whoami\n  faas whoami -o json")]
pub(crate) struct WhoamiArgs {}

const LOGIN_EXAMPLES: &str = "\
Examples:
  faas login http://10.0.0.5:8080
  faas login http://127.0.0.1:8080 < key.txt";

/// Bytes of a key's text at the most, with what a shell adds.
const KEY_MAX: u64 = 256;

pub(crate) async fn login(args: LoginArgs, session: &Session) -> anyhow::Result<()> {
    let endpoint = endpoint(args.url, session)?;
    let key = read_key(session).await?;
    let client = Client::new(Connection::new(&endpoint, Some(ApiKey::new(&key)?))?)?;
    let caller = client.whoami().await?;
    let path = Profile::save(&endpoint, &key)?;
    session.out.note(format_args!("kept in {}", path.display()));
    session.out.item(&caller, |caller| table(&endpoint, caller))
}

pub(crate) fn logout(args: LogoutArgs, session: &Session) -> anyhow::Result<()> {
    let endpoint = endpoint(args.url, session)?;
    let was_known = Profile::forget(&endpoint)?;
    let remark = if was_known { "forgot the key of" } else { "there is no key of" };
    let report = json!({ "endpoint": endpoint, "forgotten": was_known });
    session.out.done(format_args!("{remark} {}", text::visible(&endpoint)), &report)
}

pub(crate) async fn whoami(session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    let caller = client.whoami().await?;
    let endpoint = client.connection().endpoint().to_owned();
    session.out.item(&caller, |caller| table(&endpoint, caller))
}

/// The server that is meant, as the profile names it.
fn endpoint(url: Option<String>, session: &Session) -> anyhow::Result<String> {
    let url = match url {
        Some(url) => url,
        None => session.endpoint()?,
    };
    Ok(Connection::new(&url, None)?.endpoint().trim_end_matches('/').to_owned())
}

/// A key from standard input, or typed without being shown.
async fn read_key(session: &Session) -> anyhow::Result<String> {
    let mut key = String::new();
    if std::io::stdin().is_terminal() {
        session.out.note("paste the key; it is not shown");
        key = read_silently().await?;
    } else {
        std::io::stdin().lock().take(KEY_MAX).read_to_string(&mut key).context("cannot read the key")?;
    }
    if key.trim().is_empty() {
        let hint = "pass it on standard input: faas login URL < key.txt; the server's own is in admin.key in its data directory";
        return Err(Failure::usage("there is no key").with_hint(hint).into());
    }
    Ok(key.trim().to_owned())
}

/// A line that is not shown. Ctrl-C leaves the terminal as it was.
async fn read_silently() -> anyhow::Result<String> {
    let _silent = Silence::begin()?;
    let (read, line) = oneshot::channel();
    // Nothing can wake it from reading a terminal, so it ends with the process.
    std::thread::spawn(move || {
        let mut line = String::new();
        let outcome = std::io::stdin().lock().take(KEY_MAX).read_line(&mut line).map(|_| line);
        let _ = read.send(outcome);
    });
    tokio::select! {
        line = line => line?.context("cannot read the key"),
        told = tokio::signal::ctrl_c() => {
            told?;
            Err(Failure { message: "no key was given".into(), exit: 1, ..Failure::default() }.into())
        }
    }
}

/// The terminal without echo, until this goes.
struct Silence(Termios);

impl Silence {
    fn begin() -> anyhow::Result<Self> {
        let before = tcgetattr(std::io::stdin()).context("cannot look at the terminal")?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &silent).context("cannot silence the terminal")?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that went away needs no echo.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

fn table(endpoint: &str, caller: &CallerView) -> Table {
    let scopes: Vec<_> = caller.key.scopes.iter().map(|scope| scope.as_str()).collect();
    let mut table = Table::of_properties();
    table.property("endpoint", endpoint);
    table.property("project", &caller.project);
    table.property("key", format!("{} ({}…)", text::visible(&caller.key.name), text::visible(&caller.key.prefix)));
    table.property("scopes", scopes.join(", "));
    table
}
