//! `faas deploy`

mod build;
mod changes;
mod interrupt;
mod report;
mod steps;

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use clap::Args;
use faas_client::rest::{FunctionToDeploy, MissingBlobs};
use faas_client::{Client, DeployOptions, ManifestBody, Rows};
use faas_config::location_of_var;
use faas_preflight::Finding;
use faas_types::{AliasName, Entrypoint, FunctionName, Span, TriggerSettings, limits};

use crate::commands::triggers::tick_text;
use changes::Changes;
use faas_source::checks;
use faas_source::fetched::{FetchedSource, SourceArgs};
use faas_source::project::{Overrides, Project};
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::read_progress::ReadProgress;
use faas_terminal::session::Session;
use faas_terminal::text;
use interrupt::{Interrupt, Stage};
use steps::Steps;

pub(crate) use report::{NO_HTTP, deployment_table, group_table, has_http, number};

/// Deploy a directory, a file, an archive or a repository and get its URL
///
/// Checks everything here first, shows what changed, uploads only what the server lacks, and moves `live`, or the alias that is
/// named, once the new version has loaded in a sandbox. When anything fails, the old version goes on serving. The functions of one manifest move together
/// or not at all.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DeployArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// The function's name [default: the manifest's, or the file's without its suffix]
    #[arg(long, value_name = "NAME")]
    name: Option<FunctionName>,
    /// Where the code of files without a manifest starts [default: FILE:handler]
    #[arg(long, value_name = "FILE:NAME")]
    entrypoint: Option<Entrypoint>,
    /// Of a manifest of several functions, only this one; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<FunctionName>,
    /// What changed, for people
    #[arg(short = 'm', long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    target: TargetArgs,
    /// Show what would be uploaded, and stop
    #[arg(long)]
    dry_run: bool,
    /// Print the deployment's id once the server has accepted it, and stop; follow it with `faas deployments events ID`
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
    /// Show the changed lines of text files against what is live
    #[arg(long)]
    diff: bool,
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

// === impl DeployArgs ===

impl DeployArgs {
    /// The same, where a path that is not there is meant as the name of what is here.
    pub(crate) fn or_by_name(mut self) -> Self {
        let path = self.source.path.as_ref().filter(|path| !path.exists());
        let named = path.and_then(|path| path.to_str()?.parse().ok());
        if self.name.is_none()
            && let Some(name) = named
        {
            (self.name, self.source.path) = (Some(name), None);
        }
        self
    }
}

const EXAMPLES: &str = "\
Examples:
  faas deploy
  faas deploy hello -m 'say hello in Welsh too'
  faas deploy hello.py --name greeter
  faas deploy hello --alias staging
  faas deploy hello --preview fix-7 --expires 2d
  faas deploy hello --dry-run --diff
  faas deploy shop --only cart
  faas deploy release.tar.gz
  faas deploy - --name hello
  faas deploy git+https://example.org/team/shop.git@v1.2#functions/cart
  faas deploy hello --detach
  faas deploy hello -o ndjson";

/// A function that is on its way.
struct DeployUnit {
    project: Project,
    plan: MissingBlobs,
    changes: Changes,
}

pub(crate) async fn run(args: DeployArgs, session: &Session) -> anyhow::Result<()> {
    if args.note.as_ref().is_some_and(|note| note.len() > limits::NOTE_MAX) {
        return Err(Failure::usage(format!("the note is longer than {} bytes; shorten it", limits::NOTE_MAX)).into());
    }
    let started = Instant::now();
    let steps = Steps::new(session);
    let interrupt = Interrupt::listen(&session.out);
    let source = FetchedSource::fetch(args.source)?;
    steps.fetched(source.origin.as_deref())?;
    let overrides =
        Overrides { name: args.name, entrypoint: args.entrypoint, progress: ReadProgress::of(&session.out) };
    let projects = Project::read(&source.path, overrides).map_err(|error| source.named(&error))?;
    let mut projects = only(projects, &args.only)?;
    let is_live = args.target.alias.is_none() && args.target.preview.is_none();
    if projects.len() > 1 && !is_live {
        let failure = Failure::usage("several functions are deployed together to `live` alone");
        return Err(failure.with_hint("choose one with --only NAME").into());
    }
    check(&mut projects, &steps, session).await.map_err(|error| source.named(&error))?;
    let client = session.client()?;
    let mut units = Vec::with_capacity(projects.len());
    for project in projects {
        let plan = client.check_blobs(&project.files).await?;
        let changes = Changes::against_live(&client, &project).await?;
        let unit = DeployUnit { project, plan, changes };
        let diff = if args.diff { Some(unit.changes.diff(&client, &unit.project).await?) } else { None };
        report::announce(&unit, diff.as_deref(), session);
        steps.compared(&unit)?;
        units.push((unit, diff));
    }
    if args.dry_run {
        return report::print_plans(&units, session);
    }
    let units: Vec<DeployUnit> = units.into_iter().map(|(unit, _)| unit).collect();
    let serving = units.iter().filter_map(|unit| Some((unit.project.name.to_string(), unit.changes.live()?)));
    interrupt.reach(Stage::Preparing(serving.collect()));
    upload(&client, &units, &steps).await?;
    interrupt.reach(Stage::Asked(units.iter().map(|unit| unit.project.name.to_string()).collect()));
    let way = Way { client: &client, steps: &steps, interrupt: &interrupt, session, detach: args.detach };
    let is_done = match &units[..] {
        [unit] => way
            .deploy(unit, args.target.options(args.note), started)
            .await
            .map_err(|error| placed(&error, &source.path))?,
        several => way.deploy_group(several, args.note, started).await?,
    };
    if !is_done {
        return Ok(());
    }
    for unit in &units {
        tell_of_triggers(&client, &unit.project, session).await?;
    }
    Ok(())
}

/// What the last part of a deployment works with.
struct Way<'d> {
    client: &'d Client,
    steps: &'d Steps<'d>,
    interrupt: &'d Interrupt,
    session: &'d Session,
    detach: bool,
}

// === impl Way ===

impl Way<'_> {
    /// Deploys one function; false when it goes on by itself.
    async fn deploy(&self, unit: &DeployUnit, options: DeployOptions, started: Instant) -> anyhow::Result<bool> {
        let DeployUnit { project, .. } = unit;
        let manifest = project.manifest_body();
        let begun = self.client.start_deployment(project.name.as_str(), manifest, &project.files, options).await?;
        if self.detach {
            return self.let_go(&begun.id, &begun);
        }
        self.interrupt.reach(Stage::UnderWay(self.client.clone(), begun.id.clone()));
        let build = self.steps.building(1);
        let outcome = self.client.follow_deployment(&begun.id).await?.outcome(|event| build.show(event)).await;
        build.end();
        if outcome.is_err() {
            self.interrupt.give_way().await;
        }
        let deployment = outcome?;
        self.interrupt.reach(Stage::Done);
        self.steps.switched(&deployment);
        report::print_deployment(&deployment, started.elapsed(), self.session)?;
        Ok(true)
    }

    /// Deploys several functions in one commit; false when that goes on by itself.
    async fn deploy_group(&self, units: &[DeployUnit], note: Option<String>, started: Instant) -> anyhow::Result<bool> {
        let functions = units.iter().map(|DeployUnit { project, .. }| {
            let ManifestBody { manifest, origins } = project.manifest_body();
            let files = project.files.iter().map(|file| file.entry.clone()).collect();
            FunctionToDeploy { manifest, origins, files }
        });
        let begun = self.client.start_group(functions.collect(), note).await?;
        if self.detach {
            return self.let_go(&begun.id, &begun);
        }
        self.interrupt.reach(Stage::UnderWay(self.client.clone(), begun.id.clone()));
        let build = self.steps.building(units.len());
        let outcome = self.client.follow_group(&begun.id).await?.outcome(|event| build.show(event)).await;
        build.end();
        if outcome.is_err() {
            self.interrupt.give_way().await;
        }
        let group = outcome?;
        self.interrupt.reach(Stage::Done);
        group.deployments.iter().for_each(|deployment| self.steps.switched(deployment));
        report::print_group(&group, started.elapsed(), self.session)?;
        Ok(true)
    }

    fn let_go(&self, id: &str, begun: &impl serde::Serialize) -> anyhow::Result<bool> {
        self.interrupt.reach(Stage::Done);
        let out = &self.session.out;
        match out.format {
            Format::Table => out.line(id)?,
            Format::Json | Format::Ndjson => out.json(begun)?,
        }
        out.note(format_args!("follow it: faas deployments events {id}"));
        Ok(false)
    }
}

// === impl TargetArgs ===

impl TargetArgs {
    fn options(self, note: Option<String>) -> DeployOptions {
        let (preview, expires) = (self.preview.is_some(), self.expires);
        let alias = self.preview.or(self.alias).map(|name| name.to_string());
        DeployOptions { note, alias, preview, expires }
    }
}

/// The functions that were asked for.
fn only(mut projects: Vec<Project>, names: &[FunctionName]) -> Result<Vec<Project>, Failure> {
    if let Some(unknown) = names.iter().find(|name| !projects.iter().any(|project| project.name == **name)) {
        let known = projects.iter().map(|project| project.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(
            Failure::usage(format!("the manifest has no function `{unknown}`")).with_hint(format!("it has {known}"))
        );
    }
    projects.retain(|project| names.is_empty() || names.contains(&project.name));
    Ok(projects)
}

async fn check(projects: &mut [Project], steps: &Steps<'_>, session: &Session) -> anyhow::Result<()> {
    let policies = checks::policies(session).await;
    for project in projects {
        steps.checking(project)?;
        // What cannot be checked here is no news: the server loads the code before it serves.
        let findings: Vec<Finding> = project.check(&policies);
        checks::warnings(&findings).for_each(|warning| session.out.note(format_args!("warning: {warning}")));
        checks::refuse(&findings)?;
    }
    Ok(())
}

/// Uploads what the server lacks, what two functions share only once.
async fn upload(client: &Client, units: &[DeployUnit], steps: &Steps<'_>) -> anyhow::Result<()> {
    let upload = steps.uploading(units)?;
    let mut sent = HashSet::new();
    for DeployUnit { project, plan, .. } in units {
        let missing: Vec<String> = plan.missing.iter().filter(|digest| sent.insert(*digest)).cloned().collect();
        let outcome = client.upload(&missing, &project.files, upload.listener()).await;
        if outcome.is_err() {
            upload.end();
        }
        outcome?;
    }
    upload.end();
    Ok(())
}

/// Adds where a var stands that the server refused: what it got has no lines.
fn placed(error: &anyhow::Error, dir: &Path) -> Failure {
    let mut failure = Failure::from_error(error);
    let key = failure.message.strip_prefix("vars.").and_then(|rest| rest.split_once(':'));
    if let Some(place) = key.and_then(|(key, _)| location_of_var(dir, key)) {
        failure.message = format!("{place}: {}", failure.message);
    }
    failure
}

/// Says when schedules fire next, and which webhooks of the manifest have no secret yet and so accept nothing.
async fn tell_of_triggers(client: &Client, project: &Project, session: &Session) -> anyhow::Result<()> {
    let is_told = |trigger: &TriggerSettings| matches!(trigger, TriggerSettings::Webhook(_) | TriggerSettings::Cron(_));
    if !project.manifest.settings.triggers.iter().any(is_told) {
        return Ok(());
    }
    let name = &project.name;
    let triggers = client.triggers(name.as_str(), &Rows::all()).await?.items;
    for trigger in &triggers {
        if let (TriggerSettings::Cron(cron), Some(next)) = (&trigger.settings, &trigger.next) {
            let tick = tick_text(&cron.schedule, next);
            session.out.note(format_args!("schedule {} fires next at {tick}", text::visible(&trigger.name)));
        }
    }
    for trigger in triggers.iter().filter(|trigger| trigger.secrets == Some(0)) {
        let hook = text::visible(&trigger.name);
        session.out.note(format_args!(
            "webhook {hook} has no secret yet and refuses every delivery; make one: faas triggers rotate {name} {hook}"
        ));
    }
    Ok(())
}
