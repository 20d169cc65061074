//! One push through `git receive-pack`.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use faas_types::{Fault, FunctionName, ProjectId, limits};
use futures_util::stream::{self, Stream};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::git::commands::Commands;
use crate::git::feed::{Feed, refusal};
use crate::git::leftovers;
use crate::git::remote::{GitRemote, Scratch, Turn};
use crate::git::repository::{Repository, ended_well, unusable};
use crate::git::room::Room;

/// Names of branches that a repository may have.
const REFS_MAX: u64 = 4 << 20;
const CHUNK: usize = 16 << 10;
/// The longest push: the upload, and a deployment with its check.
pub(super) const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// A push on its way in.
pub(super) struct Push {
    pub(super) repository: Repository,
    /// The key of whoever pushes, with which the hook deploys.
    pub(super) key: String,
    pub(super) project: ProjectId,
    pub(super) function: FunctionName,
    /// What it asks for.
    pub(super) commands: Commands,
    /// No other push changes the repository meanwhile.
    pub(super) turn: Turn,
    /// Its place among the pushes at once.
    pub(super) permit: OwnedSemaphorePermit,
}

/// What lives as long as a push.
struct Life {
    group: Group,
    commands: Commands,
    /// Hands the body on.
    feeding: JoinHandle<()>,
    /// Why it does not, once that is so.
    refused: Option<oneshot::Receiver<Fault>>,
    /// Whether all is said.
    is_over: bool,
    remote: Arc<GitRemote>,
    repository: Repository,
    project: ProjectId,
    _scratch: Scratch,
    _turn: Turn,
    _permit: OwnedSemaphorePermit,
}

/// The processes of a push. Dropping it ends them all, the hook's too.
struct Group {
    child: Child,
    id: Option<Pid>,
}

// === impl Life ===

impl Life {
    /// Ends a push whose git has said all: waits for it, and leaves no more than is needed.
    async fn end(&mut self, deadline: Instant) {
        let _ = timeout_at(deadline, self.group.child.wait()).await;
        let (remote, repository, project) = (Arc::clone(&self.remote), self.repository.clone(), self.project);
        let looking = tokio::task::spawn_blocking(move || {
            if !leftovers::is_empty(&repository.path)? {
                return Ok(Some(Room::look(&remote, project, &repository)));
            }
            remote.remove(&repository.path).map(|()| None)
        });
        let outcome = match looking.await {
            Ok(Ok(Some(room))) if room.is_untidy() => self.repository.tidy(&self.remote).await,
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(unusable(&error)),
            Err(error) => Err(Fault::internal(error.to_string())),
        };
        if let Err(fault) = outcome {
            tracing::warn!(error = fault.message, "the git repository of a push cannot be tidied");
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.feeding.abort();
    }
}

// === impl Group ===

impl Group {
    fn kill(&mut self) {
        // The group's number stays taken until its first process is waited for, which is only done here.
        if let Some(id) = self.id.filter(|_| matches!(self.child.try_wait(), Ok(None))) {
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What `git receive-pack` says about its branches.
pub(super) async fn advertise(
    remote: &GitRemote,
    project: ProjectId,
    function: &FunctionName,
) -> Result<Vec<u8>, Fault> {
    let repository = Repository::at(remote, remote.path_of(project, function));
    // A full disk still takes deletions.
    if repository.is_there() {
        return branches_of(remote, &repository).await;
    }
    // Here git shows a refusal in full, before it packs anything.
    remote.admit()?;
    // Only a push makes one: an empty one says the same.
    let scratch = remote.new_scratch().map_err(|error| unusable(&error))?;
    let empty = Repository::at(remote, scratch.path.join("empty.git"));
    empty.create(remote).await?;
    branches_of(remote, &empty).await
}

async fn branches_of(remote: &GitRemote, repository: &Repository) -> Result<Vec<u8>, Fault> {
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
pub(super) async fn run(
    remote: &Arc<GitRemote>,
    push: Push,
    body: BodyDataStream,
    deadline: Instant,
) -> Result<Body, Fault> {
    let scratch = remote.new_scratch().map_err(|error| unusable(&error))?;
    let room = {
        let (remote, repository, project) = (Arc::clone(remote), push.repository.clone(), push.project);
        tokio::task::spawn_blocking(move || Room::look(&remote, project, &repository)).await
    };
    let room = room.map_err(|error| Fault::internal(error.to_string()))?;
    let mut command = push.repository.git(remote, Some(&scratch.path));
    let most = limits::BUNDLE_BYTES_MAX;
    let settings = [
        format!("core.hooksPath={}", push.repository.hooks.display()),
        format!("receive.maxInputSize={most}"),
        "receive.fsckObjects=true".to_owned(),
        "receive.autogc=false".to_owned(),
        // Always by `index-pack`, which streams what is large.
        "receive.unpackLimit=1".to_owned(),
    ];
    for setting in &settings {
        command.args(["-c", setting]);
    }
    command.args(["receive-pack", "--stateless-rpc"]).arg(&push.repository.path);
    command.env("FAAS_PROGRAM", &remote.settings.program).env("FAAS_ENDPOINT", &remote.settings.endpoint);
    command.env("FAAS_API_KEY", &push.key).env("FAAS_GIT_FUNCTION", push.function.as_str());
    command.env("FAAS_GIT_BYTES_MAX", most.to_string()).env("FAAS_GIT_FILES_MAX", limits::BUNDLE_FILES_MAX.to_string());
    command.env("FAAS_GIT_REFS_MAX", limits::GIT_REFS_MAX.to_string());
    command.env("FAAS_GIT_REF_MAX", limits::GIT_REF_MAX.to_string());
    command.env("FAAS_GIT_ROOM_KB", (room.left() >> 10).to_string()).env("FAAS_GIT_ROOM_SAYS", room.refusal());
    command.env("TMPDIR", &scratch.path);
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| unusable(&error))?;
    let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let pipes = child.stdin.take().zip(child.stdout.take());
    let group = Group { child, id };
    let (stdin, stdout) = pipes.ok_or_else(|| Fault::internal("a process has no pipes"))?;
    let Push { repository, project, commands, turn, permit, .. } = push;
    let (refuse, refused) = oneshot::channel();
    let feed = Feed { stdin, head: commands.head.clone(), body, deadline, remote: Arc::clone(remote) };
    let life = Life {
        group,
        commands,
        feeding: tokio::spawn(feed.run(refuse)),
        refused: Some(refused),
        is_over: false,
        remote: Arc::clone(remote),
        repository,
        project,
        _scratch: scratch,
        _turn: turn,
        _permit: permit,
    };
    Ok(Body::from_stream(said(stdout, life, deadline)))
}

/// What git says until it ends, or why it does not get all of the push. Before a pack is whole, git says nothing.
fn said(stdout: ChildStdout, life: Life, deadline: Instant) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold((stdout, life), move |(mut stdout, mut life)| async move {
        if life.is_over {
            return Ok(None);
        }
        let mut chunk = vec![0; CHUNK];
        let read = tokio::select! {
            // First: git, whose input ends with it, would say only that.
            biased;
            fault = refusal(&mut life.refused) => Err(fault),
            read = timeout_at(deadline, stdout.read(&mut chunk)) => Ok(read),
        };
        let read = match read {
            Ok(read) => read,
            Err(fault) => {
                life.group.kill();
                let answer = life.commands.refusal(&fault);
                life.end(deadline).await;
                life.is_over = true;
                return Ok(Some((answer, (stdout, life))));
            }
        };
        let count = read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if count == 0 {
            life.end(deadline).await;
            return Ok(None);
        }
        chunk.truncate(count);
        Ok(Some((Bytes::from(chunk), (stdout, life))))
    })
}
