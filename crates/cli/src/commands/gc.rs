//! `faas gc`

use clap::Args;
use faas_client::rest::GcReportView;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas gc --dry-run\n  faas gc\n  faas gc --now\n\nThe server does this by itself every few hours; see engine.gc_every of its configuration."
)]
pub(crate) struct GcArgs {
    /// Only show what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// Delete at once what nothing uses, without the grace of 24h. Uploads, deployments and instances under way keep their files
    #[arg(long)]
    now: bool,
}

pub(crate) async fn run(args: GcArgs, session: &Session) -> anyhow::Result<()> {
    let report = session.client()?.collect(args.dry_run, args.now).await?;
    session.out.item(&report, table)
}

fn table(report: &GcReportView) -> Table {
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
    let young = text::counted(report.young as usize, "stored file");
    // Without a grace, what stays is what something under way relies on.
    let why = if report.grace == "0ms" {
        "in use".to_owned()
    } else {
        format!("younger than {}", text::visible(&report.grace))
    };
    table.property("kept", format!("{young} ({why})"));
    table
}
