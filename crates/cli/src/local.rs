//! A private server in this process, for `faas dev`, `faas test` and `faas invoke --local`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use faas_client::rest::DeploymentView;
use faas_client::{ApiKey, Client, Connection};
use faas_config::{ServerConfig, ServerOverrides};
use faas_types::Span;
use tokio::sync::mpsc;

use crate::lobby::{CallSeen, Lobby};
use crate::project::Project;

/// A server on the loopback interface, for as long as somebody holds it.
#[derive(Debug)]
pub struct LocalServer {
    /// Where it is spoken to.
    pub endpoint: String,
    /// Its admin key.
    pub key: String,
    /// Where its calls wait.
    pub lobby: Arc<Lobby>,
    /// The calls that it answered.
    pub calls: mpsc::Receiver<CallSeen>,
}

/// How a private server runs.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct LocalArgs {
    /// Where its state lives [default: a directory below .faas/ in the project]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// A Python interpreter to offer besides those found; may be repeated [env: FAAS_PYTHONS]
    #[arg(long = "python", value_name = "PATH")]
    pythons: Vec<PathBuf>,
    /// Run the function as a plain process where nothing better works; never for code of others
    #[arg(long)]
    unsafe_no_isolation: bool,
}

/// What of this shell's environment concerns a private server. Where it listens and lives is its own affair.
const ENVIRONMENT: [&str; 3] = ["FAAS_PYTHONS", "FAAS_UNSAFE_NO_ISOLATION", "FAAS_LOG"];
/// How long calls under way may take when it ends.
const DRAIN: Span = Span::from_secs(2);

// === impl LocalServer ===

impl LocalServer {
    /// A client with its key.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(Connection::new(&self.endpoint, Some(ApiKey::new(&self.key)?))?)?)
    }
}

// === impl LocalArgs ===

impl LocalArgs {
    /// The state of a project's server: `--data`, or the directory of this name in the project.
    pub(crate) fn place(&self, project: &Path, name: &str) -> PathBuf {
        self.data.clone().unwrap_or_else(|| place(project, name))
    }

    /// The configuration of a server on the loopback interface; port 0 is any that is free.
    pub(crate) fn config(&self, data: &Path, port: u16) -> anyhow::Result<ServerConfig> {
        prepare(data, self.data.is_none())?;
        let env = |name: &str| ENVIRONMENT.contains(&name).then(|| std::env::var(name).ok()).flatten();
        let flags = ServerOverrides {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            data: Some(data.to_owned()),
            unsafe_no_isolation: self.unsafe_no_isolation.then_some(true),
            pythons: (!self.pythons.is_empty()).then(|| self.pythons.clone()),
            drain: Some(DRAIN),
            log_filter: env("FAAS_LOG").is_none().then(|| "error".to_owned()),
            ..ServerOverrides::default()
        };
        Ok(ServerConfig::load(rustix::process::geteuid().is_root(), None, env, flags)?)
    }
}

/// Where a project's own server keeps its state.
pub(crate) fn place(project: &Path, name: &str) -> PathBuf {
    let base = if project.is_dir() { project } else { project.parent().unwrap_or(project) };
    base.join(".faas").join(name).join("data")
}

/// Makes the directory, private, and where it is in a project invisible to git.
fn prepare(data: &Path, is_in_project: bool) -> anyhow::Result<()> {
    let attempt = || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(data)?;
        match data.parent().map(|dir| dir.join(".gitignore")) {
            Some(ignore) if is_in_project && !ignore.exists() => fs::write(ignore, "*\n"),
            _ => Ok(()),
        }
    };
    attempt().with_context(|| format!("cannot make {}; name another directory with --data", data.display()))
}

/// Uploads what the server lacks and deploys.
pub(crate) async fn deploy(client: &Client, project: &Project) -> anyhow::Result<DeploymentView> {
    let name = project.name.as_str();
    let plan = client.plan(name, &project.files).await?;
    client.upload(&plan.missing, &project.files, |_| {}).await?;
    Ok(client.deploy(name, project.manifest.to_json(), &project.files, None).await?)
}
