//! `faas dead-letters`

use clap::{Args, Subcommand};
use faas_client::ListDeadLetters;
use faas_client::rest::{DeadLetterFilter, DeadLetterView, RedrivenView};
use faas_terminal::confirmation::Confirmation;
use faas_terminal::failure::Failure;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text::{self, moment};

use crate::commands::rows::{self, RowArgs};
use crate::commands::run_output::run_table;
use crate::commands::runs::input_rows;

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// List runs that were given up, newest first
    List(ListArgs),
    /// Show a dead letter with its input and every attempt
    Get(GetArgs),
    /// Try dead letters again on the live version
    Redrive(RedriveArgs),
    /// Delete dead letters with their inputs
    Purge(PurgeArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas dead-letters list\n  faas dead-letters list --function hello --since 1h\n  faas dead-letters list -o ndjson"
)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    rows: RowArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas dead-letters get run_01JD2Z7Y5T0000000000000000")]
pub(crate) struct GetArgs {
    /// The run's id
    id: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas dead-letters redrive run_01JD2Z7Y5T0000000000000000\n  faas dead-letters redrive --function hello --code FN_002"
)]
pub(crate) struct RedriveArgs {
    #[command(flatten)]
    select: SelectArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas dead-letters purge run_01JD2Z7Y5T0000000000000000\n  faas dead-letters purge --all --yes"
)]
pub(crate) struct PurgeArgs {
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Which dead letters are meant.
#[derive(Debug, Args)]
pub(crate) struct SelectArgs {
    /// The run's id; several may be given
    #[arg(conflicts_with_all = ["function", "code", "since", "until", "all"])]
    ids: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Every dead letter of the project
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// Of this function
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// With this code, such as FN_002
    #[arg(long, value_name = "CODE")]
    code: Option<faas_types::Code>,
    /// Accepted since then: 10m, 2h or 2026-11-21T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<String>,
    /// Accepted before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
}

pub(crate) async fn run(command: DeadLettersCommand, session: &Session) -> anyhow::Result<()> {
    match command {
        DeadLettersCommand::List(args) => list(args, session).await,
        DeadLettersCommand::Get(args) => {
            let letter = session.client()?.dead_letter(&args.id).await?;
            session.out.item(&letter, letter_table)
        }
        DeadLettersCommand::Redrive(args) => redrive(args.select, session).await,
        DeadLettersCommand::Purge(args) => purge(args, session).await,
    }
}

async fn list(args: ListArgs, session: &Session) -> anyhow::Result<()> {
    let FilterArgs { function, code, since, until } = args.filter;
    let code = code.map(|code| code.to_string());
    let query = ListDeadLetters { function, code, since, until };
    let list = session.client()?.dead_letters(&query, &args.rows.rows()).await?;
    rows::print(&list, &session.out, "no dead letters: no run was given up", list_table)
}

async fn redrive(args: SelectArgs, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    let mut redriven = Vec::new();
    if args.ids.is_empty() {
        redriven = client.redrive_all(&filter(&args)?).await?.redriven;
    }
    for id in &args.ids {
        redriven.extend(client.redrive(id).await?.redriven);
    }
    if redriven.is_empty() {
        session.out.aside("no such dead letters");
    }
    let report = faas_client::rest::RedriveReport { redriven };
    session.out.list(&report, &report.redriven, redriven_table)?;
    let refused = report.redriven.iter().filter(|one| one.error.is_some()).count();
    if refused > 0 {
        let message = format!("{refused} of {} were not accepted and stay dead letters", report.redriven.len());
        return Err(Failure { message, exit: 1, ..Failure::default() }.into());
    }
    Ok(())
}

async fn purge(PurgeArgs { select: args, confirmation }: PurgeArgs, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    if args.ids.is_empty() {
        let filter = filter(&args)?;
        let which = if args.all { "every dead letter" } else { "all dead letters that match" };
        confirmation.ask(format_args!("purge {which}"), &session.out)?;
        let report = client.purge_all(&filter).await?;
        return session.out.done(format_args!("purged {}", counted(report.purged)), &report);
    }
    confirmation.ask(format_args!("purge {}", counted(args.ids.len() as u64)), &session.out)?;
    for id in &args.ids {
        client.purge(id).await?;
    }
    session.out.remark(format_args!("purged {}", counted(args.ids.len() as u64)));
    Ok(())
}

fn counted(letters: u64) -> String {
    text::counted(usize::try_from(letters).unwrap_or(usize::MAX), "dead letter")
}

/// Everything is meant only where that was said.
fn filter(args: &SelectArgs) -> Result<DeadLetterFilter, Failure> {
    let FilterArgs { function, code, since, until } = &args.filter;
    let narrowed = function.is_some() || code.is_some() || since.is_some() || until.is_some();
    if !narrowed && !args.all {
        return Err(Failure::usage("which dead letters?").with_hint("name runs, give a filter, or add --all"));
    }
    Ok(DeadLetterFilter {
        function: function.clone(),
        code: code.map(|code| code.to_string()),
        since: since.clone(),
        until: until.clone(),
        limit: None,
    })
}

fn list_table(letters: &[DeadLetterView]) -> Table {
    let mut table = Table::with_headings(["RUN", "FUNCTION", "VERSION", "ATTEMPTS", "DIED", "ERROR", "MESSAGE"]);
    for letter in letters {
        let run = &letter.run;
        table.row([
            run.id.clone(),
            run.function.clone(),
            run.version.to_string(),
            run.attempts.len().to_string(),
            text::when(&letter.died_at),
            run.error.as_ref().map(|error| error.code.clone()).unwrap_or_default(),
            run.error.as_ref().map(|error| text::visible(&error.message)).unwrap_or_default(),
        ]);
    }
    table
}

fn letter_table(letter: &DeadLetterView) -> Table {
    let mut table = run_table(&letter.run);
    table.property("given up", format!("{}: {}", text::dated(&letter.died_at), letter.reason));
    if let Some(input) = &letter.input {
        input_rows(&mut table, input);
    }
    table
}

fn redriven_table(redriven: &[RedrivenView]) -> Table {
    let mut table = Table::with_headings(["DEAD", "RUN", "ERROR"]);
    for one in redriven {
        table.row([one.dead.clone(), one.run_id.clone().unwrap_or_default(), one.error.clone().unwrap_or_default()]);
    }
    table
}
