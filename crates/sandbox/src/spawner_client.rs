//! The server's client of the spawner.

mod table;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faas_ports::{PortError, PortResult};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use crate::cgroup::Layout;
use crate::config::SpawnerCommand;
use crate::packet::{receive, send};
use crate::problem::OpenError;
use crate::spawner_protocol::{Event, OpenRequest, Request, Settings};
use crate::sys;
pub(crate) use table::Opened;
use table::{State, Table};

/// A spawner must answer within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running spawner.
pub(crate) struct SpawnerClient {
    socket: Arc<AsyncFd<OwnedFd>>,
    table: Arc<Table>,
    next: AtomicU64,
    /// What the spawner found.
    pub(crate) layout: Layout,
}

// === impl SpawnerClient ===

impl SpawnerClient {
    /// Starts a spawner, hands it the lock of the data directory and waits until it is ready.
    pub(crate) async fn start(command: &SpawnerCommand, settings: Settings, lock: File) -> PortResult<Self> {
        let failed = |error: io::Error| PortError::failed("starting the spawner of sandboxes", error);
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(|error| failed(error.into()))?;
        rustix::io::ioctl_fionbio(&ours, true).map_err(|error| failed(error.into()))?;
        spawn(command, theirs).map_err(failed)?;
        let socket = Arc::new(sys::watch(ours).map_err(failed)?);
        let greeting = async {
            transmit(&socket, &Request::Configure(settings), &[lock.as_fd()]).await?;
            // Ours would keep the next spawner waiting.
            drop(lock);
            listen(&socket).await
        };
        let answer =
            tokio::time::timeout(PATIENCE, greeting).await.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?;
        let Some((Event::Ready { layout }, _)) = answer.map_err(failed)? else {
            return Err(failed(io::Error::other("it ended at once; is it given the right arguments?")));
        };
        let table = Arc::new(Table::new());
        tokio::spawn(dispatch(Arc::clone(&socket), Arc::clone(&table)));
        Ok(Self { socket, table, next: AtomicU64::new(1), layout })
    }

    /// Whether the spawner is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.table.state() != State::Running
    }

    /// Tells the spawner to kill everything and end, and waits until nothing is left.
    pub(crate) async fn stop(&self) {
        self.hang_up();
        // A spawner that does not end is stuck in the kernel; waiting longer does not help.
        let _ = tokio::time::timeout(PATIENCE, self.table.closed()).await;
    }

    /// Closes one direction. The other one stays open for what the spawner has to say before it ends.
    fn hang_up(&self) {
        self.table.note_farewell();
        let _ = rustix::net::shutdown(self.socket.get_ref(), rustix::net::Shutdown::Write);
    }

    /// Asks for a sandbox. When the future is dropped, what was started is killed.
    pub(crate) async fn open(&self, mut request: OpenRequest, fds: &[BorrowedFd<'_>]) -> Result<Opened, OpenError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        request.request = number;
        let (sender, answer) = oneshot::channel();
        self.table.expect(number, sender);
        if let Err(error) = transmit(&self.socket, &Request::Open(Box::new(request)), fds).await {
            self.table.forget(number);
            return Err(PortError::failed("asking the spawner for a sandbox", error).into());
        }
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(outcome)) => Ok(outcome?),
            Ok(Err(_)) => Err(PortError::failed("opening a sandbox", "the spawner has ended; try again").into()),
            Err(_) => Err(PortError::failed("opening a sandbox", "the spawner does not answer").into()),
        }
    }
}

impl Drop for SpawnerClient {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// Hands out the spawner's events until it is gone, then takes over its duty for what is still open.
async fn dispatch(socket: Arc<AsyncFd<OwnedFd>>, table: Arc<Table>) {
    loop {
        match listen(&socket).await {
            Ok(Some((event, fds))) => table.note(event, fds),
            Ok(None) => break,
            Err(error) => {
                tracing::error!(%error, "the spawner of sandboxes cannot be heard");
                break;
            }
        }
    }
    table.close().await;
}

/// Starts the process, owned by a thread that reaps it. It holds nothing of ours but the socket, and no environment.
fn spawn(command: &SpawnerCommand, socket: OwnedFd) -> io::Result<()> {
    use std::os::unix::process::CommandExt;
    let mut process = Command::new(&command.program);
    // The arguments can be seen inside the sandboxes; the path of the program must not be.
    process.arg0("faas-init").args(&command.args).env_clear().current_dir("/");
    process.stdin(Stdio::from(socket)).stdout(Stdio::null());
    let mut child = process.spawn()?;
    // The command holds the socket's other end; as long as it lives, no end of file would be seen.
    drop(process);
    let reaper = std::thread::Builder::new().name("spawner-reaper".to_owned());
    reaper.spawn(move || child.wait()).map(drop)
}

async fn transmit(socket: &AsyncFd<OwnedFd>, request: &Request, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    socket.async_io(Interest::WRITABLE, |socket| send(socket.as_fd(), request, fds)).await
}

async fn listen(socket: &AsyncFd<OwnedFd>) -> io::Result<Option<(Event, Vec<OwnedFd>)>> {
    socket.async_io(Interest::READABLE, |socket| receive(socket.as_fd())).await
}
