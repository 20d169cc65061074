//! What all pushes of a server share.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faas_ports::PortResult;
use faas_types::{ByteSize, Code, Fault, FunctionName, ProjectId};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::git::leftovers;

/// Pushes at once; each unpacks files and deploys.
const AT_ONCE: usize = 4;

/// What pushes need to know of their server.
pub struct GitSettings {
    /// The repositories' directory.
    pub dir: PathBuf,
    /// This program, which the hook runs.
    pub program: PathBuf,
    /// Where this server is reached from this machine.
    pub endpoint: String,
    /// Bytes of one function's repository.
    pub repository_max: ByteSize,
    /// Bytes of all repositories of a project.
    pub project_max: ByteSize,
    /// Whether the disk has room for new content.
    pub admit: Box<dyn Fn() -> PortResult<()> + Send + Sync>,
}

/// Where pushes go.
#[derive(Debug)]
pub struct GitRemote {
    pub(super) settings: GitSettings,
    gate: Arc<Semaphore>,
    /// Repositories that a push is changing.
    busy: Arc<Mutex<HashSet<PathBuf>>>,
    /// Numbers of directories below the scratch directory.
    numbers: AtomicU64,
}

/// The right to change a repository. One push has it at a time.
#[derive(Debug)]
pub(super) struct Turn {
    busy: Arc<Mutex<HashSet<PathBuf>>>,
    path: PathBuf,
}

/// A directory for the files of one push. Dropping it removes them.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) path: PathBuf,
}

// === impl GitRemote ===

impl GitRemote {
    /// Ends and removes what pushes of an earlier server left half-done.
    #[must_use]
    pub fn new(settings: GitSettings) -> Self {
        let remote = Self {
            settings,
            gate: Arc::new(Semaphore::new(AT_ONCE)),
            busy: Arc::default(),
            numbers: AtomicU64::new(0),
        };
        leftovers::sweep(&remote.settings.dir, &remote.scratch());
        remote
    }

    /// Removes the repository of a function that is gone.
    pub(crate) async fn forget(self: Arc<Self>, project: ProjectId, function: FunctionName) {
        let removed = tokio::task::spawn_blocking(move || self.remove(&self.path_of(project, &function))).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "the git repository of a deleted function cannot be removed");
        }
    }

    /// Removes a repository. What a crash leaves of it lies among what the next start removes.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        if !path.exists() {
            return Ok(());
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.scratch())?;
        let gone = self.scratch().join(format!("gone-{}", self.numbers.fetch_add(1, Ordering::Relaxed)));
        fs::rename(path, &gone)?;
        fs::remove_dir_all(gone)
    }

    pub(super) fn path_of(&self, project: ProjectId, function: &FunctionName) -> PathBuf {
        self.project_dir(project).join(format!("{function}.git"))
    }

    pub(super) fn project_dir(&self, project: ProjectId) -> PathBuf {
        self.settings.dir.join(project.to_string())
    }

    /// The port of the endpoint, which the hook's deployment goes to.
    pub(super) fn port(&self) -> Option<u16> {
        self.settings.endpoint.parse::<http::Uri>().ok()?.port_u16()
    }

    /// Whether the disk takes another push.
    pub(super) fn admit(&self) -> Result<(), Fault> {
        (self.settings.admit)().map_err(Fault::from)
    }

    /// Where pushes lay out their files, and what is being removed.
    fn scratch(&self) -> PathBuf {
        self.settings.dir.join("tmp")
    }

    /// A directory below it that no other push has.
    pub(super) fn new_scratch(&self) -> io::Result<Scratch> {
        let path = self.scratch().join(format!("push-{}", self.numbers.fetch_add(1, Ordering::Relaxed)));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(Scratch { path })
    }

    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let busy = || Fault::new(Code::Overloaded, format!("{AT_ONCE} pushes are under way")).with_retry_after(5);
        Arc::clone(&self.gate).try_acquire_owned().map_err(|_| busy().with_hint("push again in a moment"))
    }

    /// The turn of one push at a repository.
    pub(super) fn turn(&self, path: PathBuf) -> Result<Turn, Fault> {
        if self.busy.lock().insert(path.clone()) {
            return Ok(Turn { busy: Arc::clone(&self.busy), path });
        }
        let busy = Fault::new(Code::Overloaded, "another push to this function is under way");
        Err(busy.with_retry_after(5).with_hint("push again when it has ended"))
    }
}

// === impl GitSettings ===

impl fmt::Debug for GitSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitSettings").field("dir", &self.dir).finish_non_exhaustive()
    }
}

// === impl Turn ===

impl Drop for Turn {
    fn drop(&mut self) {
        self.busy.lock().remove(&self.path);
    }
}

// === impl Scratch ===

impl Drop for Scratch {
    fn drop(&mut self) {
        leftovers::remove_soon(std::mem::take(&mut self.path));
    }
}
