//! `faas version`

use clap::Args;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use serde_json::json;

/// Print the version of this program
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VersionArgs {}

const EXAMPLES: &str = "\
Examples:
  faas version
  faas version -o json";

pub(crate) fn run(session: &Session) -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    match session.out.format {
        Format::Table => session.out.line(format_args!("faas {version}")),
        Format::Json | Format::Ndjson => session.out.json(&json!({ "name": "faas", "version": version })),
    }
}
