//! `faas layers`

mod publish;

use clap::{Args, Subcommand};
use faas_client::rest::{LayerVersionView, LayerView, PackageLayerView};
use faas_terminal::confirmation::Confirmation;
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use faas_types::{InstalledPackage, LayerName, LayerRef};

use crate::commands::rows::{self, RowArgs};

/// Packages that are shown; JSON has them all.
const SHOWN: usize = 20;
/// How the ids of layers of packages begin; no name does.
const ID: &str = "lay_";

#[derive(Debug, Subcommand)]
pub(crate) enum LayersCommand {
    /// Publish files, or packages, as the next version of a named layer
    Publish(publish::PublishArgs),
    /// List the layers with names, or those of installed packages, the largest first
    List(ListArgs),
    /// Show the contents of a layer, heaviest first, and the function versions that use it
    Get(GetArgs),
    /// List the versions of a named layer, the newest first
    Versions(VersionsArgs),
    /// Delete a layer, or a version of a named one, that no version of a function stands on
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas layers list\n  faas layers list --packages -o json")]
pub(crate) struct ListArgs {
    /// Layers of installed packages, which have an id and no name
    #[arg(long)]
    packages: bool,
    #[command(flatten)]
    rows: RowArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas layers get shared-utils\n  faas layers get shared-utils:3\n  faas layers get lay_5J2ZKX8M0V6W3Q1R7T9Y4B8C2D"
)]
pub(crate) struct GetArgs {
    /// A name, with the number of a version or for the newest, or the id of a layer of packages
    #[arg(value_parser = WhichLayer::parse)]
    layer: WhichLayer,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas layers versions shared-utils")]
pub(crate) struct VersionsArgs {
    /// The layer
    name: LayerName,
    #[command(flatten)]
    rows: RowArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas layers delete shared-utils:3\n  faas layers delete shared-utils --all\n  faas layers delete lay_5J2ZKX8M0V6W3Q1R7T9Y4B8C2D"
)]
pub(crate) struct DeleteArgs {
    /// A version of a named layer, or the id of a layer of packages
    #[arg(value_parser = WhichLayer::parse)]
    layer: WhichLayer,
    /// All versions of a name
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// What the command line calls a layer.
#[derive(Clone, Debug)]
enum WhichLayer {
    Named(LayerRef),
    Packages(String),
}

pub(crate) async fn run(command: LayersCommand, session: &Session) -> anyhow::Result<()> {
    match command {
        LayersCommand::Publish(args) => publish::run(args, session).await,
        LayersCommand::List(args) => list(&args, session).await,
        LayersCommand::Get(args) => get(args, session).await,
        LayersCommand::Versions(args) => {
            let list = session.client()?.layer_versions(args.name.as_str(), &args.rows.rows()).await?;
            rows::print(&list, &session.out, "no versions", versions_table)
        }
        LayersCommand::Delete(args) => delete(args, session).await,
    }
}

async fn list(args: &ListArgs, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    if args.packages {
        let list = client.layers(&args.rows.rows()).await?;
        let empty = "no layers of packages yet; a deployment makes one of what the function asks for";
        return rows::print(&list, &session.out, empty, packages_table);
    }
    let list = client.named_layers(&args.rows.rows()).await?;
    let empty = "no layers yet; try: faas layers publish NAME ./lib, or faas layers list --packages";
    rows::print(&list, &session.out, empty, named_table)
}

async fn get(args: GetArgs, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    match args.layer {
        WhichLayer::Named(layer) => session.out.item(&client.layer_version(&layer).await?, version_table),
        WhichLayer::Packages(id) => packages(&client.layer(&id).await?, session),
    }
}

/// A layer of packages, with what its installer wrote.
fn packages(layer: &PackageLayerView, session: &Session) -> anyhow::Result<()> {
    session.out.item(layer, layer_table)?;
    if session.out.format != Format::Table {
        return Ok(());
    }
    layer.log.iter().try_for_each(|line| session.out.line(format_args!("  | {}", text::visible(line))))
}

async fn delete(args: DeleteArgs, session: &Session) -> anyhow::Result<()> {
    let client = session.client()?;
    let ask = |what: &str| args.confirmation.ask(format_args!("delete layer {what}"), &session.out);
    match args.layer {
        WhichLayer::Named(LayerRef { name, version: None }) if !args.all => {
            let failure = Failure::usage(format!("say which version of {name} to delete, or --all"));
            Err(failure.with_hint(format!("list them: faas layers versions {name}")).into())
        }
        WhichLayer::Named(LayerRef { version: Some(_), .. }) | WhichLayer::Packages(_) if args.all => {
            Err(Failure::usage("--all goes with a name alone").into())
        }
        WhichLayer::Named(layer) => {
            let which =
                layer.version.map_or_else(|| format!("{} with all versions", layer.name), |_| layer.to_string());
            ask(&which)?;
            let removed = client.remove_named_layer(&layer).await?;
            let numbers: Vec<String> =
                removed.versions.iter().map(|number| format!("{}:{number}", layer.name)).collect();
            session.out.done(format_args!("deleted {}", numbers.join(", ")), &removed)
        }
        WhichLayer::Packages(id) => {
            ask(&text::visible(&id))?;
            client.remove_layer(&id).await?;
            session.out.remark(format_args!("deleted {}", text::visible(&id)));
            Ok(())
        }
    }
}

// === impl WhichLayer ===

impl WhichLayer {
    fn parse(text: &str) -> Result<Self, faas_types::InvalidLayerRef> {
        if text.starts_with(ID) { Ok(Self::Packages(text.to_owned())) } else { text.parse().map(Self::Named) }
    }
}

const HEADINGS: [&str; 6] = ["LAYER", "RUNTIME", "SIZE", "HEAVIEST", "USED BY", "BUILT"];

fn named_table(layers: &[LayerView]) -> Table {
    let mut table = Table::with_headings(HEADINGS);
    for layer in layers {
        table.row([
            format!("{}:{}", text::visible(&layer.name), layer.newest),
            runtimes(&layer.runtimes),
            text::bytes(layer.newest_size),
            heaviest(&layer.heaviest),
            text::counted(layer.used_by.len(), "function"),
            text::when(&layer.created_at),
        ]);
    }
    table
}

fn packages_table(layers: &[PackageLayerView]) -> Table {
    let mut table = Table::with_headings(HEADINGS);
    for layer in layers {
        table.row([
            layer.id.clone(),
            layer.runtime.clone(),
            text::bytes(layer.size),
            heaviest(&layer.packages),
            text::counted(layer.used_by.len(), "function"),
            text::when(&layer.built_at),
        ]);
    }
    table
}

fn versions_table(versions: &[LayerVersionView]) -> Table {
    let mut table = Table::with_headings(["VERSION", "RUNTIME", "SIZE", "FILES", "USED BY", "BY", "PUBLISHED", "NOTE"]);
    for version in versions {
        table.row([
            text::visible(&version.reference),
            runtimes(&version.runtimes),
            text::bytes(version.size),
            version.files.to_string(),
            text::counted(version.used_by.len(), "function"),
            version.actor.as_ref().map(|by| text::visible(&by.name)).unwrap_or_default(),
            text::when(&version.created_at),
            version.note.as_deref().map(text::visible).unwrap_or_default(),
        ]);
    }
    table
}

pub(super) fn version_table(version: &LayerVersionView) -> Table {
    let mut table = Table::of_properties();
    table.property("layer", text::visible(&version.reference));
    table.property("runtime", runtimes(&version.runtimes));
    let files = text::counted(version.files as usize, "file");
    table.property("size", format!("{}, {files}", text::bytes(version.size)));
    table.property("published", text::when(&version.created_at));
    table.maybe("by", version.actor.as_ref().map(|by| text::visible(&by.name)));
    table.maybe("note", version.note.as_deref().map(text::visible));
    heavy(&mut table, "heavy", &version.heaviest);
    used_by(&mut table, &version.used_by);
    table
}

fn layer_table(layer: &PackageLayerView) -> Table {
    let mut table = Table::of_properties();
    table.property("id", &layer.id);
    table.property("runtime", &layer.runtime);
    table.property("source", text::visible(&layer.source));
    let files = text::counted(layer.files as usize, "file");
    table.property("size", format!("{}, {files}", text::bytes(layer.size)));
    table.property("built", format!("{}, in {} ms", text::when(&layer.built_at), layer.took_ms));
    heavy(&mut table, "package", &layer.packages);
    used_by(&mut table, &layer.used_by);
    table
}

fn heavy(table: &mut Table, what: &str, packages: &[InstalledPackage]) {
    for package in packages.iter().take(SHOWN) {
        let name = format!("{} {}", text::visible(&package.name), text::visible(&package.version));
        table.property(what, format!("{}, {}", name.trim_end(), text::bytes(package.size)));
    }
    if packages.len() > SHOWN {
        table.property("", format!("{} more", packages.len() - SHOWN));
    }
}

fn used_by(table: &mut Table, functions: &std::collections::BTreeMap<String, Vec<u32>>) {
    for (function, versions) in functions {
        let versions: Vec<String> = versions.iter().map(ToString::to_string).collect();
        table.property("used by", format!("{} {}", text::visible(function), versions.join(", ")));
    }
}

fn heaviest(packages: &[InstalledPackage]) -> String {
    packages.first().map(|package| text::visible(&package.name)).unwrap_or_default()
}

fn runtimes(names: &[String]) -> String {
    if names.is_empty() { "any".to_owned() } else { names.join(" ") }
}
