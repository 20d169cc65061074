//! `faas layers`

use clap::{Args, Subcommand};
use faas_client::rest::LayerView;

use crate::args::Format;
use crate::session::Session;
use crate::table::Table;
use crate::text;

/// Packages that are shown; JSON has them all.
const SHOWN: usize = 20;

#[derive(Debug, Subcommand)]
pub(crate) enum LayersCommand {
    /// List the layers of installed packages, the largest first
    List(ListArgs),
    /// Show what is in a layer, the heaviest packages first, and which versions stand on it
    Get(GetArgs),
    /// Remove a layer that no version stands on
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas layers list\n  faas layers list -o json")]
pub(crate) struct ListArgs {}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas layers get lay_5J2ZKX8M0V6W3Q1R7T9Y4B8C2D")]
pub(crate) struct GetArgs {
    /// The layer
    id: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas layers remove lay_5J2ZKX8M0V6W3Q1R7T9Y4B8C2D")]
pub(crate) struct RemoveArgs {
    /// The layer
    id: String,
}

pub(crate) async fn run(command: LayersCommand, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    match command {
        LayersCommand::List(_) => {
            let list = client.layers().await?;
            session.out.list(&list, &list.layers, list_table)
        }
        LayersCommand::Get(args) => {
            let layer = client.layer(&args.id).await?;
            session.out.item(&layer, layer_table)?;
            match session.out.format {
                Format::Table => {
                    layer.log.iter().try_for_each(|line| session.out.line(format_args!("  | {}", text::visible(line))))
                }
                Format::Json | Format::Ndjson => Ok(()),
            }
        }
        LayersCommand::Remove(args) => {
            client.remove_layer(&args.id).await?;
            session.out.note(format_args!("removed {}", text::visible(&args.id)));
            Ok(())
        }
    }
}

fn list_table(layers: &[LayerView]) -> Table {
    let mut table = Table::with_headings(["ID", "RUNTIME", "SIZE", "PACKAGES", "HEAVIEST", "USED BY", "BUILT"]);
    for layer in layers {
        table.row([
            layer.id.clone(),
            layer.runtime.clone(),
            text::bytes(layer.size),
            layer.package_count.to_string(),
            layer.packages.first().map(|package| text::visible(&package.name)).unwrap_or_default(),
            text::counted(layer.used_by.len(), "function"),
            text::ago(&layer.built_at),
        ]);
    }
    table
}

fn layer_table(layer: &LayerView) -> Table {
    let mut table = Table::of_properties();
    table.property("id", &layer.id);
    table.property("runtime", &layer.runtime);
    table.property("source", text::visible(&layer.source));
    let files = text::counted(layer.files as usize, "file");
    table.property("size", format!("{}, {files}", text::bytes(layer.size)));
    table.property("built", format!("{}, in {} ms", text::ago(&layer.built_at), layer.took_ms));
    for package in layer.packages.iter().take(SHOWN) {
        let name = format!("{} {}", text::visible(&package.name), text::visible(&package.version));
        table.property("package", format!("{name}, {}", text::bytes(package.size)));
    }
    if layer.packages.len() > SHOWN {
        table.property("", format!("{} more", layer.packages.len() - SHOWN));
    }
    for (function, versions) in &layer.used_by {
        let versions: Vec<String> = versions.iter().map(ToString::to_string).collect();
        table.property("used by", format!("{} {}", text::visible(function), versions.join(", ")));
    }
    table
}
