//! `faas deploy`

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use faas_client::rest::{DependenciesView, DeployPlan, DeploymentView};
use faas_client::{Client, DeployOptions};
use faas_types::{AliasName, Entrypoint, FunctionName, Span, TriggerSettings, limits};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::failure::Failure;
use crate::project::{Project, Wishes, or_here};
use crate::session::Session;
use crate::table::Table;
use crate::text;

/// Deploy a directory or a single file and get its URL
///
/// Checks everything here first, uploads only what the server lacks, and moves `live`, or the alias that is named, once
/// the new version has loaded in a sandbox. When anything fails, the old version goes on serving.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DeployArgs {
    /// A directory with a faas.toml, or a single .py file [default: .]
    path: Option<PathBuf>,
    /// The function's name [default: the manifest's, or the file's without its suffix]
    #[arg(long, value_name = "NAME")]
    name: Option<FunctionName>,
    /// Where the code of a single file starts [default: FILE:handler]
    #[arg(long, value_name = "FILE:NAME")]
    entrypoint: Option<Entrypoint>,
    /// What changed, for people
    #[arg(short = 'm', long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    target: TargetArgs,
    /// Say what would be uploaded, and stop
    #[arg(long)]
    dry_run: bool,
}

/// The alias that moves.
#[derive(Debug, Args)]
struct TargetArgs {
    /// The alias that moves [default: live]
    #[arg(long, value_name = "NAME", conflicts_with = "preview")]
    alias: Option<AliasName>,
    /// Make a preview of this name with a URL of its own, which ends by itself
    #[arg(long, value_name = "NAME")]
    preview: Option<AliasName>,
    /// When the preview ends, counted from now [default: 7d]
    #[arg(long, value_name = "TIME", requires = "preview")]
    expires: Option<Span>,
}

const EXAMPLES: &str = "\
Examples:
  faas deploy
  faas deploy hello -m 'say hello in Welsh too'
  faas deploy hello.py --name greeter
  faas deploy hello --alias staging
  faas deploy hello --preview fix-7 --expires 2d
  faas deploy hello --dry-run -o json";

/// Names of new files that are printed before the rest is only counted.
const NAMED_FILES: usize = 10;

pub(crate) async fn run(args: DeployArgs, session: &Session) -> anyhow::Result<()> {
    if args.note.as_ref().is_some_and(|note| note.len() > limits::NOTE_MAX) {
        return Err(Failure::usage(format!("the note is longer than {} bytes; shorten it", limits::NOTE_MAX)).into());
    }
    let started = Instant::now();
    let project = Project::open(&or_here(args.path), Wishes { name: args.name, entrypoint: args.entrypoint })?;
    if let Some(skipped) = &project.skipped {
        session.out.note(skipped);
    }
    let client = session.client()?;
    let plan = client.plan(project.name.as_str(), &project.files).await?;
    if args.dry_run {
        return print_plan(&project, &plan, session);
    }
    announce(&project, &plan, session);
    let bar = progress(&plan, session);
    let counter = bar.clone();
    let uploaded = client.upload(&plan.missing, &project.files, move |bytes| counter.inc(bytes)).await;
    bar.finish_and_clear();
    uploaded?;
    session.out.aside("loading the entrypoint in a sandbox");
    let manifest = project.manifest.to_json();
    let options = args.target.options(args.note);
    let deployment = client.deploy(project.name.as_str(), manifest, &project.files, options).await?;
    print_deployment(&deployment, &plan, started.elapsed(), session)?;
    name_shut_webhooks(&client, &project, session).await
}

impl TargetArgs {
    fn options(self, note: Option<String>) -> DeployOptions {
        let (preview, expires) = (self.preview.is_some(), self.expires);
        let alias = self.preview.or(self.alias).map(|name| name.to_string());
        DeployOptions { note, alias, preview, expires }
    }
}

/// A webhook that a manifest brought has no secret and lets nobody in: its owner must hear of it.
async fn name_shut_webhooks(client: &Client, project: &Project, session: &Session) -> anyhow::Result<()> {
    let is_webhook = |trigger: &TriggerSettings| matches!(trigger, TriggerSettings::Webhook(_));
    if !project.manifest.settings.triggers.iter().any(is_webhook) {
        return Ok(());
    }
    let name = &project.name;
    let triggers = client.triggers(name.as_str()).await?.triggers;
    for trigger in triggers.iter().filter(|trigger| trigger.secrets == Some(0)) {
        let hook = text::visible(&trigger.name);
        session.out.note(format_args!(
            "webhook {hook} has no secret and lets nobody in; make one: faas triggers rotate {name} {hook}"
        ));
    }
    Ok(())
}

/// What the server lacks, by name.
fn new_files<'p>(project: &'p Project, plan: &DeployPlan) -> Vec<&'p str> {
    let missing: HashSet<&str> = plan.missing.iter().map(String::as_str).collect();
    let entries = project.files.iter().map(|file| &file.entry);
    entries.filter(|entry| missing.contains(entry.digest.as_str())).map(|entry| entry.path.as_str()).collect()
}

fn announce(project: &Project, plan: &DeployPlan, session: &Session) {
    let changed = new_files(project, plan);
    for path in changed.iter().take(NAMED_FILES) {
        session.out.note(format_args!("  + {}", text::visible(path)));
    }
    if changed.len() > NAMED_FILES {
        session.out.note(format_args!("  + {} more", changed.len() - NAMED_FILES));
    }
    let (files, new) = (text::counted(project.files.len(), "file"), text::bytes(plan.bytes_missing));
    let total = text::bytes(plan.bytes_total);
    session.out.note(format_args!("{}: {files}, {} new ({new} of {total} to upload)", project.name, changed.len()));
}

fn progress(plan: &DeployPlan, session: &Session) -> ProgressBar {
    if !session.out.stderr_tty || plan.bytes_missing == 0 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("uploading {bar:30} {bytes}/{total_bytes} {eta}")
        .expect("the template is constant and tested by every deploy on a terminal");
    ProgressBar::new(plan.bytes_missing).with_style(style)
}

fn print_plan(project: &Project, plan: &DeployPlan, session: &Session) -> anyhow::Result<()> {
    let changed = new_files(project, plan);
    let report = json!({
        "function": project.name,
        "files": project.files.len(),
        "bytes_total": plan.bytes_total,
        "bytes_missing": plan.bytes_missing,
        "new": changed,
        "manifest": project.manifest.to_json(),
    });
    session.out.item(&report, |_| {
        let mut table = Table::of_properties();
        table.property("function", &project.name);
        let files = text::counted(project.files.len(), "file");
        table.property("bundle", format!("{files}, {}", text::bytes(plan.bytes_total)));
        table.property("upload", format!("{} new, {}", changed.len(), text::bytes(plan.bytes_missing)));
        changed.iter().for_each(|path| table.property("", path));
        table
    })
}

fn print_deployment(
    deployment: &DeploymentView,
    plan: &DeployPlan,
    elapsed: Duration,
    session: &Session,
) -> anyhow::Result<()> {
    let mut report = serde_json::to_value(deployment)?;
    report["took_ms"] = json!(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
    report["bytes_uploaded"] = json!(plan.bytes_missing);
    session.out.item(&report, |_| {
        let mut table = deployment_table(deployment);
        table.property("took", text::took(elapsed));
        table
    })
}

/// A deployment for people; a rollback prints the same.
pub(crate) fn deployment_table(deployment: &DeploymentView) -> Table {
    let before = deployment.from.map(|from| format!(" (was {from})")).unwrap_or_default();
    let mut table = Table::of_properties();
    table.property("function", &deployment.function);
    table.property("version", format!("{}{before}", deployment.version));
    if deployment.alias != "live" {
        table.property("alias", &deployment.alias);
    }
    table.maybe(
        "share",
        deployment.split.map(|split| format!("{} % of the calls go to {}", split.percent, split.version)),
    );
    table.maybe("expires", deployment.expires_at.as_deref().map(text::time));
    table.property("url", &deployment.url);
    table.property("runtime", &deployment.runtime);
    table.maybe("note", deployment.note.as_ref());
    table.maybe("packages", deployment.dependencies.as_ref().map(packages));
    table
}

/// Where a version's packages are from, in a few words.
fn packages(dependencies: &DependenciesView) -> String {
    let Some(layer) = &dependencies.layer else {
        return format!("not installed: {}", dependencies.note.as_deref().unwrap_or_default());
    };
    let what = text::counted(dependencies.packages as usize, "package");
    let how = if dependencies.reused {
        format!("layer {layer} reused")
    } else {
        format!("layer {layer} built in {}", text::took(Duration::from_millis(dependencies.took_ms)))
    };
    format!("{what}, {}, {how}", text::bytes(dependencies.size))
}
