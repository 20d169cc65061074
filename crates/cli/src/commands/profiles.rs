//! `faas profiles`

use clap::{Args, Subcommand};
use faas_terminal::failure::Failure;
use faas_terminal::profile::Profile;
use faas_terminal::session::{Session, is_same};
use faas_terminal::table::Table;
use faas_terminal::text;
use faas_types::Code;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(crate) enum ProfilesCommand {
    /// List the servers with a stored key
    List(ListArgs),
    /// Use a server with commands from now on
    Use(UseArgs),
    /// Show where the profile is stored and which server it names
    Get(GetArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas profiles list\n  faas profiles list -o json")]
pub(crate) struct ListArgs {}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas profiles use http://10.0.0.5:8080")]
pub(crate) struct UseArgs {
    /// A server with a stored key
    #[arg(value_name = "URL")]
    url: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas profiles get")]
pub(crate) struct GetArgs {}

pub(crate) fn run(command: ProfilesCommand, session: &Session) -> anyhow::Result<()> {
    let profile = Profile::load()?;
    let is_default = |url: &str| profile.endpoint.as_deref() == Some(url);
    match command {
        ProfilesCommand::List(_) => {
            if profile.keys.is_empty() {
                session.out.empty("no servers yet; try: faas up, or faas login URL");
            }
            let rows: Vec<_> =
                profile.keys.keys().map(|url| json!({ "endpoint": url, "default": is_default(url) })).collect();
            session.out.list(&json!({ "profiles": rows }), &rows, |_| {
                let mut table = Table::with_headings(["ENDPOINT", "DEFAULT"]);
                for url in profile.keys.keys() {
                    table.row([url.clone(), if is_default(url) { "yes".to_owned() } else { String::new() }]);
                }
                table
            })
        }
        ProfilesCommand::Use(args) => {
            let kept = profile.keys.keys().find(|url| is_same(url, &args.url));
            let Some(url) = kept else {
                let message = format!("there is no key of `{}`", text::visible(&args.url));
                let hint = format!("keep one with `faas login {}`", text::visible(&args.url));
                return Err(Failure::of(Code::NotFound, message).with_hint(hint).into());
            };
            Profile::choose(url)?;
            session.out.done(format_args!("commands speak to {url}"), &json!({ "endpoint": url }))
        }
        ProfilesCommand::Get(_) => {
            let path = Profile::path();
            let report = json!({ "path": path, "endpoint": profile.endpoint, "keys": profile.keys.len() });
            session.out.item(&report, |_| {
                let mut table = Table::of_properties();
                table.maybe("path", path.as_ref().map(|path| path.display()));
                table.maybe("endpoint", profile.endpoint.as_ref());
                table.property("keys", profile.keys.len());
                table
            })
        }
    }
}
