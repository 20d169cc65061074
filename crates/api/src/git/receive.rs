//! One push through `git receive-pack`.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use faas_types::{Fault, FunctionName, limits};
use futures_util::stream::{self, Stream, StreamExt};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::git::GitRemote;
use crate::git::repository::{Repository, ended_well, unusable};

/// Names of branches that a repository may have.
const REFS_MAX: u64 = 4 << 20;
const CHUNK: usize = 16 << 10;
/// The longest push: the upload, and a deployment with its check.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How often removing a push's files is tried, and the pause between.
const REMOVALS: usize = 50;
const REMOVAL_PAUSE: Duration = Duration::from_millis(100);

/// A push on its way in.
pub(super) struct Push {
    pub(super) repository: Repository,
    /// The key of whoever pushes, with which the hook deploys.
    pub(super) key: String,
    pub(super) function: FunctionName,
    /// Its place among the pushes at once.
    pub(super) permit: OwnedSemaphorePermit,
}

/// What lives as long as a push.
struct Life {
    group: Group,
    /// Hands the body on.
    feeding: JoinHandle<()>,
    _scratch: Scratch,
    _permit: OwnedSemaphorePermit,
}

/// The processes of a push. Dropping it ends them all, the hook's too.
struct Group {
    child: Child,
    id: Option<Pid>,
}

/// Where a push lays out its files. Dropping it removes them.
struct Scratch {
    path: PathBuf,
}

// === impl Life ===

impl Drop for Life {
    fn drop(&mut self) {
        self.feeding.abort();
    }
}

// === impl Group ===

impl Drop for Group {
    fn drop(&mut self) {
        // The group's number stays taken until its first process is waited for, which is only done here.
        if let Some(id) = self.id.filter(|_| matches!(self.child.try_wait(), Ok(None))) {
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

// === impl Scratch ===

impl Scratch {
    fn new(path: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        let remove = move || {
            // Processes that were just ended may still write for a moment.
            for _ in 0..REMOVALS {
                match fs::remove_dir_all(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => std::thread::sleep(REMOVAL_PAUSE),
                    _ => return,
                }
            }
            tracing::warn!("what a push laid out cannot be removed");
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// What `git receive-pack` says about its branches.
pub(super) async fn advertise(remote: &GitRemote, repository: &Repository) -> Result<Vec<u8>, Fault> {
    let mut command = repository.git(remote, None);
    command.args(["receive-pack", "--stateless-rpc", "--http-backend-info-refs"]).arg(&repository.path);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| unusable(&error))?;
    let mut refs = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let read = timeout_at(Instant::now() + PATIENCE, stdout.take(REFS_MAX).read_to_end(&mut refs)).await;
        read.map_err(|_| Fault::internal("git does not answer"))?.map_err(|error| unusable(&error))?;
    }
    let status = child.wait().await.map_err(|error| unusable(&error))?;
    ended_well(status, "git cannot read the repository").map(|()| refs)
}

/// Takes a push in; what git and the hook say is the answer, as it comes.
pub(super) fn run(remote: &GitRemote, push: Push, body: Body) -> Result<Body, Fault> {
    let scratch = Scratch::new(remote.new_scratch()).map_err(|error| unusable(&error))?;
    let mut command = push.repository.git(remote, Some(&scratch.path));
    let most = limits::BUNDLE_BYTES_MAX;
    let settings = [
        format!("core.hooksPath={}", push.repository.hooks.display()),
        format!("receive.maxInputSize={most}"),
        "receive.fsckObjects=true".to_owned(),
        "receive.autogc=false".to_owned(),
        // Always by `index-pack`, which streams what is large.
        "receive.unpackLimit=1".to_owned(),
        "receive.denyDeletes=true".to_owned(),
    ];
    for setting in &settings {
        command.args(["-c", setting]);
    }
    command.args(["receive-pack", "--stateless-rpc"]).arg(&push.repository.path);
    command.env("FAAS_PROGRAM", &remote.program).env("FAAS_ENDPOINT", &remote.endpoint);
    command.env("FAAS_API_KEY", &push.key).env("FAAS_GIT_FUNCTION", push.function.as_str());
    command.env("FAAS_GIT_BYTES_MAX", most.to_string()).env("FAAS_GIT_FILES_MAX", limits::BUNDLE_FILES_MAX.to_string());
    command.env("TMPDIR", &scratch.path);
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| unusable(&error))?;
    let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let pipes = child.stdin.take().zip(child.stdout.take());
    let group = Group { child, id };
    let (stdin, stdout) = pipes.ok_or_else(|| Fault::internal("a process has no pipes"))?;
    let deadline = Instant::now() + PATIENCE;
    let feeding = tokio::spawn(feed(stdin, body, deadline));
    let life = Life { group, feeding, _scratch: scratch, _permit: push.permit };
    Ok(Body::from_stream(said(stdout, life, deadline)))
}

/// Hands the body to git, which refuses what is too large. What breaks off ends in the middle of a pack, and git says so.
async fn feed(mut stdin: ChildStdin, body: Body, deadline: Instant) {
    let mut chunks = body.into_data_stream();
    while let Ok(Some(Ok(chunk))) = timeout_at(deadline, chunks.next()).await {
        if !matches!(timeout_at(deadline, stdin.write_all(&chunk)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// What git says until it ends.
fn said(stdout: ChildStdout, life: Life, deadline: Instant) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold((stdout, life), move |(mut stdout, mut life)| async move {
        let mut chunk = vec![0; CHUNK];
        let read = timeout_at(deadline, stdout.read(&mut chunk)).await;
        let count = read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if count == 0 {
            // It has said all; what is left to do takes no time.
            let _ = timeout_at(deadline, life.group.child.wait()).await;
            return Ok(None);
        }
        chunk.truncate(count);
        Ok(Some((Bytes::from(chunk), (stdout, life))))
    })
}
