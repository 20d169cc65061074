//! `faas settings callbacks`

use clap::{Args, Subcommand};
use faas_client::rest::RotateCallbackSecret;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_types::Span;

#[derive(Debug, Subcommand)]
pub(crate) enum CallbacksCommand {
    /// Show how many secrets sign callbacks
    #[command(alias = "secret")]
    Get(GetArgs),
    /// Make a fresh secret to sign callbacks with, and show it
    Rotate(RotateArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas settings callbacks get")]
pub(crate) struct GetArgs {}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas settings callbacks rotate\n  faas settings callbacks rotate --keep 1h")]
pub(crate) struct RotateArgs {
    /// How long the secret before stays good, at most 720h [default: 24h]
    #[arg(long, value_name = "TIME")]
    keep: Option<Span>,
}

pub(crate) async fn run(command: CallbacksCommand, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    match command {
        CallbacksCommand::Get(GetArgs {}) => {
            let secret = client.callback_secret().await?;
            session.out.item(&secret, |secret| {
                let mut table = Table::of_properties();
                table.property("number", secret.number);
                table.property("live", secret.live);
                table
            })
        }
        CallbacksCommand::Rotate(RotateArgs { keep }) => {
            let body = RotateCallbackSecret { keep: keep.map(|keep| keep.to_string()) };
            let made = client.rotate_callback_secret(&body).await?;
            if session.out.format != Format::Table {
                return session.out.json(&made);
            }
            session.out.line(made.secret.as_deref().unwrap_or_default())?;
            session.out.note("keep the secret: it is not shown again");
            Ok(())
        }
    }
}
