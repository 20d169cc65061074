//! `faas settings`

use clap::Subcommand;
use faas_terminal::session::Session;

use crate::commands::callbacks::{self, CallbacksCommand};
use crate::commands::upload_policy::{self, UploadPolicyCommand};

#[derive(Debug, Subcommand)]
pub(crate) enum SettingsCommand {
    /// Show and change the rules that uploads are checked against
    #[command(
        subcommand,
        alias = "preflight",
        after_help = "Examples:\n  faas settings upload-policy get\n  faas settings upload-policy set rules.toml"
    )]
    UploadPolicy(UploadPolicyCommand),
    /// Show and rotate the secret that signs callbacks
    #[command(
        subcommand,
        alias = "callback",
        after_help = "Examples:\n  faas settings callbacks get\n  faas settings callbacks rotate"
    )]
    Callbacks(CallbacksCommand),
}

pub(crate) async fn run(command: SettingsCommand, session: &Session) -> anyhow::Result<()> {
    match command {
        SettingsCommand::UploadPolicy(command) => upload_policy::run(command, session).await,
        SettingsCommand::Callbacks(command) => callbacks::run(command, session).await,
    }
}
