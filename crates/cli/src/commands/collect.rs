//! `faas collect`

use clap::Args;
use faas_client::rest::CollectReport;

use crate::session::Session;
use crate::table::Table;
use crate::text;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas collect --dry-run\n  faas collect\n\nThe server collects by itself every few hours; see engine.collect_every of its configuration."
)]
pub(crate) struct CollectArgs {
    /// Only tell what would go
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(args: CollectArgs, session: &Session) -> anyhow::Result<()> {
    let report = session.client()?.collect(args.dry_run).await?;
    session.out.item(&report, table)
}

fn table(report: &CollectReport) -> Table {
    let mut table = Table::of_properties();
    let verb = if report.dry_run { "would free" } else { "freed" };
    table.property(verb, text::bytes(report.blob_bytes + report.layer_bytes));
    table.property("stored files", format!("{}, {}", report.blobs, text::bytes(report.blob_bytes)));
    table.property(
        "laid out",
        format!("{}, {}", text::counted(report.layers as usize, "tree"), text::bytes(report.layer_bytes)),
    );
    table.property("records", report.records);
    table.property("needed", text::counted(report.needed as usize, "stored file"));
    table.property(
        "too young",
        format!(
            "{} (younger than {})",
            text::counted(report.young as usize, "stored file"),
            text::visible(&report.grace)
        ),
    );
    table
}
