//! `faas status`

use clap::Args;
use faas_client::rest::SystemView;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;

/// Show the server: isolation, runtimes, load
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {}

const EXAMPLES: &str = "\
Examples:
  faas status
  faas status -o json
  faas status --endpoint http://10.0.0.5:8080";

pub(crate) async fn run(session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    let status = client.status().await?;
    session.out.item(&status, |status| table(client.connection().endpoint(), status))
}

fn table(endpoint: &str, status: &SystemView) -> Table {
    let missing: Vec<_> = status.features.iter().filter(|f| !f.enforced).map(|f| f.feature.as_str()).collect();
    let isolation = match missing[..] {
        [] => format!("level {}", status.isolation),
        _ => format!("level {}, missing {} (see `faas doctor`)", status.isolation, missing.join(", ")),
    };
    let runtimes: Vec<_> = status.runtimes.iter().map(|runtime| runtime.name.as_str()).collect();
    let mut table = Table::of_properties();
    table.property("endpoint", endpoint);
    table.property("version", &status.version);
    table.property("uptime", text::uptime(status.uptime_s));
    table.property("isolation", isolation);
    table.property("runtimes", if runtimes.is_empty() { "none".to_owned() } else { runtimes.join(", ") });
    table.property("functions", status.functions);
    table.property("instances", status.instances);
    table.maybe("dropped runs", (status.dropped_run_records > 0).then_some(status.dropped_run_records));
    table
}
