//! `faas aliases`

use clap::{Args, Subcommand};
use faas_client::rest::{AliasTarget, AliasView, SetAlias};
use faas_terminal::confirmation::Confirmation;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use faas_types::{Affinity, AliasName, Permille};

use crate::commands::deploy::NO_HTTP;
use crate::commands::rows::{self, RowArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum AliasesCommand {
    /// List the aliases of a function, previews among them
    List(ListArgs),
    /// Point an alias to a version, or to two by weight
    Set(SetArgs),
    /// Delete an alias; its versions stay
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas aliases list hello")]
pub(crate) struct ListArgs {
    /// The function
    name: String,
    #[command(flatten)]
    rows: RowArgs,
}

#[derive(Debug, Args)]
#[command(after_help = SET_EXAMPLES)]
pub(crate) struct SetArgs {
    /// The function
    name: String,
    /// The alias
    alias: AliasName,
    /// A version's number, or two with their percent of the calls
    #[arg(required = true, num_args = 1..=2, value_name = "N[=PERCENT]", value_parser = target)]
    targets: Vec<AliasTarget>,
    /// Keep a caller with a version, by a header or a cookie
    #[arg(long, value_name = "header:NAME|cookie:NAME")]
    sticky: Option<Affinity>,
    /// Why, for people
    #[arg(short = 'm', long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas aliases delete hello staging")]
pub(crate) struct DeleteArgs {
    /// The function
    name: String,
    /// The alias
    alias: AliasName,
    #[command(flatten)]
    confirmation: Confirmation,
}

const SET_EXAMPLES: &str = "\
Examples:
  faas aliases set hello staging 4
  faas aliases set hello live 4=90 5=10
  faas aliases set hello live 4=50 5=50 --sticky cookie:session";

pub(crate) async fn run(command: AliasesCommand, session: &Session) -> anyhow::Result<()> {
    match command {
        AliasesCommand::List(args) => {
            let list = session.client()?.aliases(&args.name, &args.rows.rows()).await?;
            rows::print(&list, &session.out, "no aliases yet; the first deployment makes `live`", list_table)
        }
        AliasesCommand::Set(args) => {
            let sticky = args.sticky.map(|by| by.to_string());
            let body = SetAlias { targets: args.targets, sticky, note: args.note };
            let alias = session.client()?.set_alias(&args.name, args.alias.as_str(), &body).await?;
            session.out.item(&alias, alias_table)
        }
        AliasesCommand::Delete(args) => {
            let shown = format!("alias `{}` of `{}`", args.alias, text::visible(&args.name));
            args.confirmation.ask(format_args!("delete {shown}"), &session.out)?;
            session.client()?.remove_alias(&args.name, args.alias.as_str()).await?;
            session.out.remark(format_args!("deleted {shown}"));
            Ok(())
        }
    }
}

/// `4`, or `4=90` with its percent of the calls.
fn target(text: &str) -> Result<AliasTarget, String> {
    let (version, percent) = text.split_once('=').map_or((text, None), |(version, percent)| (version, Some(percent)));
    let version = version.parse().map_err(|_| format!("`{version}` is not a version's number"))?;
    let share = |text: &str| {
        let percent: f64 = text.trim_end_matches('%').parse().map_err(|_| format!("`{text}` is not a percentage"))?;
        Permille::from_percent(percent).map(Permille::percent).map_err(|error| error.to_string())
    };
    Ok(AliasTarget { version, percent: percent.map(share).transpose()? })
}

fn list_table(aliases: &[AliasView]) -> Table {
    let mut table = Table::with_headings(["ALIAS", "VERSION", "STICKY", "EXPIRES", "MOVED", "BY", "URL"]);
    for alias in aliases {
        table.row([
            alias.name.clone(),
            versions(alias),
            alias.sticky.clone().unwrap_or_default(),
            alias.expires_at.as_deref().map(text::when).unwrap_or_default(),
            text::when(&alias.moved_at),
            alias.actor.as_ref().map_or_else(|| "-".to_owned(), |by| by.name.clone()),
            if alias.http == Some(false) { "-".to_owned() } else { alias.url.clone() },
        ]);
    }
    table
}

fn alias_table(alias: &AliasView) -> Table {
    let mut table = Table::of_properties();
    table.property("alias", &alias.name);
    table.property("version", versions(alias));
    table.maybe("sticky", alias.sticky.as_ref());
    table.maybe("expires", alias.expires_at.as_deref().map(text::dated));
    table.property("url", if alias.http == Some(false) { NO_HTTP } else { &alias.url });
    table
}

fn versions(alias: &AliasView) -> String {
    match alias.split {
        None => alias.version.to_string(),
        // Shares have one decimal, which a difference of fractions may lose.
        Some(split) => {
            let rest = (1000.0 - split.percent * 10.0).round() / 10.0;
            format!("{}={rest} {}={}", alias.version, split.version, split.percent)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_with_and_without_their_share() {
        let read = |text: &str| target(text).map(|target| (target.version, target.percent));
        assert_eq!(read("4"), Ok((4, None)));
        assert_eq!(read("4=12.5"), Ok((4, Some(12.5))));
        assert_eq!(read("4=90%"), Ok((4, Some(90.0))));
        for bad in ["", "x", "4=", "4=x", "4=101", "4=0.01", "=5"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
