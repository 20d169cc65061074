//! Deploys what is in the directory, and knows whether that is anything new.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use faas_client::Client;
use faas_client::rest::DeploymentView;
use faas_config::{SourceDir, check_var};
use faas_preflight::Policies;
use faas_source::checks;
use faas_source::env_file::{EnvFile, VARS_FILE_MAX, read_vars_file};
use faas_source::project::{Overrides, Project};
use faas_terminal::failure::Failure;
use faas_types::{AuthMode, Code, Debuggee, FunctionName};
use tokio::sync::watch;

use crate::local;
use crate::local_layers::LocalLayer;

/// Times that the files are read again because one went away meanwhile, as the drafts of editors do.
const READS: usize = 5;
const ENV_FILE: &str = ".env";

/// The name of the function that runs here, as of its last deployment.
pub(super) type CurrentName = Arc<Mutex<Option<FunctionName>>>;

/// Deploys one directory again and again.
pub(super) struct Deployer {
    source: Source,
    layers: Vec<LocalLayer>,
    name: CurrentName,
    /// What serves.
    live: Option<blake3::Hash>,
    /// Whether it answers without the key that its manifest asks for.
    is_opened: bool,
    /// What was tried last and why it does not serve.
    trouble: Option<(Option<blake3::Hash>, String)>,
}

/// Where a project is read from.
#[derive(Clone)]
struct Source {
    path: PathBuf,
    env_file: Option<PathBuf>,
    is_public: bool,
}

/// What became of a look at the directory.
pub(super) enum Outcome {
    /// A version serves that is new.
    Deployed(Box<DeploymentView>, Duration),
    /// The version before serves on.
    Failed(Failure),
    /// What was wrong is as it was when it was right, and serves.
    Mended,
    /// Nothing to do.
    Unchanged,
}

// === impl Deployer ===

impl Deployer {
    pub(super) fn new(path: PathBuf, env_file: Option<PathBuf>, is_public: bool, layers: Vec<LocalLayer>) -> Self {
        let source = Source { path, env_file, is_public };
        Self { source, layers, name: CurrentName::default(), live: None, is_opened: false, trouble: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.source.path
    }

    /// The file whose vars win, whether it is there or not.
    pub(super) fn env_file(&self) -> PathBuf {
        self.source.env_file()
    }

    /// Whether callers need no key, whatever the manifest says.
    pub(super) fn is_public(&self) -> bool {
        self.source.is_public
    }

    /// Whether what serves is called without the key that its manifest asks for.
    pub(super) fn is_opened(&self) -> bool {
        self.is_opened
    }

    pub(super) fn name(&self) -> CurrentName {
        Arc::clone(&self.name)
    }

    /// Deploys what is there unless it serves already or has just failed, and leads debuggers there.
    pub(super) async fn deploy(
        &mut self,
        client: &Client,
        debuggee: Option<&watch::Sender<Option<Debuggee>>>,
    ) -> Outcome {
        let began = Instant::now();
        let source = self.source.clone();
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        let (project, is_opened) = match read.map_err(anyhow::Error::from).flatten() {
            Ok(read) => read,
            Err(error) => return self.fail(None, Failure::from_error(&error)),
        };
        let fingerprint = match fingerprint(&project) {
            Ok(fingerprint) => fingerprint,
            Err(error) => return self.fail(None, Failure::from_error(&error)),
        };
        if self.live == Some(fingerprint) {
            return if self.trouble.take().is_some() { Outcome::Mended } else { Outcome::Unchanged };
        }
        if self.trouble.as_ref().is_some_and(|(tried, _)| *tried == Some(fingerprint)) {
            return Outcome::Unchanged;
        }
        match local::deploy(client, &project, debuggee, &self.layers).await {
            Ok(deployment) => {
                (self.live, self.is_opened, self.trouble) = (Some(fingerprint), is_opened, None);
                *self.name.lock().unwrap_or_else(PoisonError::into_inner) = Some(project.name);
                Outcome::Deployed(Box::new(deployment), began.elapsed())
            }
            Err(error) => {
                let failure = self.explain(project, error).await;
                self.fail(Some(fingerprint), failure)
            }
        }
    }

    /// Tells of a failure once.
    fn fail(&mut self, tried: Option<blake3::Hash>, failure: Failure) -> Outcome {
        let trouble = (tried, format!("{failure} {}", failure.details.join("\n")));
        if self.trouble.as_ref() == Some(&trouble) {
            return Outcome::Unchanged;
        }
        self.trouble = Some(trouble);
        Outcome::Failed(failure)
    }

    /// A look into the code says more than a version that does not load, where it is the code that is wrong.
    async fn explain(&self, mut project: Project, error: anyhow::Error) -> Failure {
        let failure = Failure::from_error(&error);
        if failure.code != Some(Code::DeploymentFailed) {
            return failure;
        }
        let checked = tokio::task::spawn_blocking(move || checks::refuse(&project.check(&Policies::default()))).await;
        match checked {
            Ok(Err(found)) => found,
            Ok(Ok(())) | Err(_) => failure,
        }
    }
}

// === impl Source ===

impl Source {
    fn env_file(&self) -> PathBuf {
        let dir = if self.path.is_dir() { Some(self.path.as_path()) } else { self.path.parent() };
        self.env_file.clone().unwrap_or_else(|| dir.unwrap_or(Path::new("")).join(ENV_FILE))
    }

    /// What is to be deployed, and whether it was opened.
    fn read(&self) -> anyhow::Result<(Project, bool)> {
        let mut project = self.read_files()?;
        let settings = &mut project.manifest.settings;
        let is_opened = self.is_public && settings.auth != AuthMode::Public;
        if self.is_public {
            settings.auth = AuthMode::Public;
        }
        let path = self.env_file();
        let text = match &self.env_file {
            Some(named) => read_vars_file(named)?,
            None => match own_env_file(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((project, is_opened)),
                read => read.with_context(|| format!("cannot read {}; or name it with --env-file", path.display()))?,
            },
        };
        for (key, value) in EnvFile::read(&text, &path.display().to_string())?.vars() {
            let invalid = |message| Failure::of(Code::InvalidConfiguration, format!("{}: {message}", path.display()));
            check_var(&key, &value).map_err(invalid)?;
            settings.vars.insert(key, value);
        }
        Ok((project, is_opened))
    }

    /// Reads the files, again where one was there to be listed and gone when it was opened.
    fn read_files(&self) -> anyhow::Result<Project> {
        let mut reads = 1;
        loop {
            match Project::read_one(&self.path, Overrides::default()) {
                Err(error) if reads < READS && has_vanished(&error) => reads += 1,
                read => return read,
            }
        }
    }
}

/// The `.env` beside a function belongs to the author of the directory: a link in its place is not followed.
fn own_env_file(path: &Path) -> std::io::Result<String> {
    let source = SourceDir::open(path.parent().unwrap_or(Path::new("")))?;
    source.text(path.file_name().unwrap_or_default(), VARS_FILE_MAX)
}

fn has_vanished(error: &anyhow::Error) -> bool {
    let is_missing = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_missing))
}

/// Equal for projects that would be deployed as the same version.
fn fingerprint(project: &Project) -> anyhow::Result<blake3::Hash> {
    let entries: Vec<_> = project.files.iter().map(|file| &file.entry).collect();
    Ok(blake3::hash(&serde_json::to_vec(&(&project.name, project.manifest.to_json(), entries))?))
}
