//! A private server in this process, for `faas dev`, `faas test` and `faas invoke --local`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use faas_client::rest::{DeploymentView, RotateSecret, TriggerView};
use faas_client::{ApiKey, Client, Connection, DeployOptions, Rows, TopicMessage};
use faas_config::{Flags, ServerConfig};
use faas_source::project::Project;
use faas_terminal::failure::Failure;
use faas_terminal::output::Output;
use faas_terminal::text;
use faas_types::{Code, Debuggee, Span, TriggerSettings};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::debugger::{Debugger, DebuggerArgs};
use crate::local_data::{of_user, prepare};
use crate::local_layers::{LocalLayer, lay_in};
use crate::reload_gate::{ObservedCall, ReloadGate};
use crate::server_settings;

/// A server on the loopback interface. It stops when this is dropped.
#[derive(Debug)]
pub struct LocalServer {
    /// Where it is spoken to.
    pub endpoint: String,
    /// Its admin key.
    pub key: String,
    /// Where its calls wait.
    pub gate: Arc<ReloadGate>,
    /// The calls that it answered.
    pub calls: mpsc::Receiver<ObservedCall>,
    /// Leads debuggers to what is deployed, where it lets them in.
    pub debuggee: Option<watch::Sender<Option<Debuggee>>>,
}

/// How a private server runs.
#[derive(Clone, Debug, Default, Args)]
pub struct LocalArgs {
    /// An interpreter to offer besides those found; may be repeated [env: FAAS_INTERPRETERS]
    #[arg(long = "interpreter", value_name = "PATH")]
    interpreters: Vec<PathBuf>,
    /// Run the function as a plain process where nothing better works; never for code of others
    #[arg(long)]
    unsafe_no_isolation: bool,
    /// A directory that stands for a named layer of the manifest; may be repeated
    #[arg(long = "layer", value_name = "NAME=DIR")]
    layers: Vec<LocalLayer>,
    /// A server's configuration file, for packages, limits and more; where to listen and to live is not taken from it
    /// [env: FAAS_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    debugger: DebuggerArgs,
}

/// The directory below `.faas/` for what is called and tested here.
pub const TEST_PLACE: &str = "test";
/// How long calls under way may take when it ends.
const DRAIN: Span = Span::from_secs(2);
/// How long an event or a message may take to become a run.
const RUN_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

// === impl LocalServer ===

impl LocalServer {
    /// A client with its key.
    pub fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(Connection::new(&self.endpoint, Some(ApiKey::new(&self.key)?))?)?)
    }
}

// === impl LocalArgs ===

impl LocalArgs {
    /// Where debuggers of the function attach, if they are to. Says so to people.
    pub fn debugger(&self, path: &Path, out: &Output) -> anyhow::Result<Option<Debugger>> {
        let Some(debugger) = self.debugger.open(path, &self.interpreters)? else { return Ok(None) };
        out.note(&debugger);
        Ok(Some(debugger))
    }

    /// Refuses what only a private server can do.
    pub fn refuse_debugger(&self) -> Result<(), Failure> {
        if !self.debugger.is_wanted() {
            return Ok(());
        }
        let message = "a debugger attaches only to a function that runs here";
        Err(Failure::usage(message).with_hint("add --local, and name its directory"))
    }

    /// The directories that stand for layers.
    pub fn layers(&self) -> &[LocalLayer] {
        &self.layers
    }

    /// The configuration of a server on the loopback interface; port 0 is any that is free. Everything else is read as
    /// `faas up` reads it.
    pub fn config(&self, data: &Path, port: u16, out: &Output) -> anyhow::Result<ServerConfig> {
        self.layers.iter().try_for_each(LocalLayer::check)?;
        let flags = Flags::default()
            .set("http.listen", Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))?
            .set("store.data", Some(data))?
            .set("sandbox.unsafe_no_isolation", self.unsafe_no_isolation.then_some(true))?
            .set("sandbox.interpreters", (!self.interpreters.is_empty()).then_some(&self.interpreters))?
            .set("engine.drain", Some(DRAIN))?;
        let mut config = server_settings::of_private(self.config.clone(), flags)?;
        server_settings::unknown().for_each(|unknown| out.note(format_args!("warning: {unknown}")));
        prepare(&config.store.data)?;
        config.store.runtimes = shared_runtimes();
        Ok(config)
    }
}

/// Where the private servers of a user keep sealed interpreters, about 100 MB each: `faas/runtimes` in the user's cache.
fn shared_runtimes() -> Option<PathBuf> {
    of_user("XDG_CACHE_HOME", ".cache", "faas/runtimes")
}

/// Makes a trigger of a private server's function make a run now, with this body. Says which run.
pub async fn fire(client: &Client, function: &str, trigger: &str, body: Vec<u8>) -> anyhow::Result<String> {
    let triggers = client.triggers(function, &Rows::all()).await?.items;
    let Some(found) = triggers.iter().find(|candidate| candidate.name == trigger) else {
        let names: Vec<_> = triggers.iter().map(|candidate| candidate.name.as_str()).collect();
        let hint = if names.is_empty() {
            "it has no triggers; add one as [[triggers]]".to_owned()
        } else {
            format!("it has {}", names.join(", "))
        };
        let message = format!("`{function}` has no trigger `{}` that can be fired", text::visible(trigger));
        return Err(Failure::of(Code::NotFound, message).with_hint(hint).into());
    };
    match &found.settings {
        TriggerSettings::Event(event) => {
            let kind =
                event.types.first().map_or_else(|| "test".to_owned(), |kind| kind.to_string().replace('*', "test"));
            let data: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
            let id = format!("local-{}", std::time::UNIX_EPOCH.elapsed()?.as_nanos());
            let published = json!({ "specversion": "1.0", "id": id, "source": "/local", "type": kind, "data": data });
            client.publish_events(published.to_string().into_bytes().into()).await?;
            next_run(client, function, found).await
        }
        TriggerSettings::Queue(queue) => {
            let message = TopicMessage { body: body.into(), ..TopicMessage::default() };
            client.send_message(queue.topic.as_str(), message).await?;
            next_run(client, function, found).await
        }
        TriggerSettings::Webhook(_) if found.secrets == Some(0) => {
            // A webhook of a manifest refuses every request until it has a secret.
            client.rotate_secret(function, trigger, &RotateSecret { secret: None, keep: None }).await?;
            Ok(client.test_trigger(function, trigger, body.into()).await?.run_id)
        }
        _ => Ok(client.test_trigger(function, trigger, body.into()).await?.run_id),
    }
}

/// The run that a trigger makes after it has been looked at.
async fn next_run(client: &Client, function: &str, before: &TriggerView) -> anyhow::Result<String> {
    let latest = Instant::now() + RUN_WITHIN;
    while Instant::now() < latest {
        let triggers = client.triggers(function, &Rows::all()).await?.items;
        let now = triggers.into_iter().find(|candidate| candidate.name == before.name);
        if let Some(run) = now.and_then(|trigger| trigger.last_run).filter(|run| Some(run) != before.last_run.as_ref())
        {
            return Ok(run);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    anyhow::bail!("trigger {} made no run within {} s", text::visible(&before.name), RUN_WITHIN.as_secs())
}

/// What a command says that a signal ended.
pub fn interrupted() -> anyhow::Error {
    Failure { message: "interrupted".into(), exit: 1, ..Failure::default() }.into()
}

/// Uploads what the server lacks and deploys. What is inspected has one instance, which is there before the first call and
/// for as long as its version serves: a debugger stays with it.
pub async fn deploy(
    client: &Client,
    project: &Project,
    debuggee: Option<&watch::Sender<Option<Debuggee>>>,
    layers: &[LocalLayer],
) -> anyhow::Result<DeploymentView> {
    let name = project.name.as_str();
    let mut manifest = project.manifest.clone();
    if let Some(debuggee) = debuggee {
        lead_to(debuggee, project, None);
        (manifest.settings.scaling.min, manifest.settings.scaling.max) = (1, 1);
    }
    lay_in(client, layers, &mut manifest).await?;
    let plan = client.check_blobs(&project.files).await?;
    client.upload(&plan.missing, &project.files, |_| {}).await?;
    let body = Project { manifest, ..project.clone() }.manifest_body();
    let deployment = client.deploy(name, body, &project.files, DeployOptions::default()).await?;
    if let Some(debuggee) = debuggee {
        lead_to(debuggee, project, deployment.version);
    }
    Ok(deployment)
}

/// What the author should know of packages that are not installed. `faas deploy` has it in its report.
pub fn not_installed(deployment: &DeploymentView) -> Option<String> {
    let dependencies = deployment.dependencies.as_ref().filter(|dependencies| dependencies.layer.is_none())?;
    Some(format!("not installed: {}", text::visible(dependencies.note.as_deref()?)))
}

/// Leads debuggers to a function. While it is not known to which version, they stay with that before.
fn lead_to(debuggee: &watch::Sender<Option<Debuggee>>, project: &Project, version: Option<u32>) {
    let function = project.name.clone();
    debuggee.send_if_modified(|debuggee| {
        let is_new = version.is_some() || debuggee.as_ref().is_none_or(|before| before.function != function);
        if is_new {
            *debuggee = Some(Debuggee { function, version });
        }
        is_new
    });
}
