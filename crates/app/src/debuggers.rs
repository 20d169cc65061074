//! Carries the connections of debuggers to the instance that runs here.

use std::net::TcpStream as StdStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use faas_devloop::Debugger;
use faas_ports::{DebuggerDoor, Inspection};
use faas_types::Debuggee;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// Connections at once. A browser looks with a few of them, an editor has one.
const CONNECTIONS_MAX: usize = 32;
/// How long a connection waits for an instance that can be debugged: for the next one after an edit, or for the first.
const DOOR_PATIENCE: Duration = Duration::from_secs(30);
/// Between the end of a connection and the next: debugpy misses a connection that arrives while it closes another.
const BETWEEN: Duration = Duration::from_millis(250);
/// How long to wait after a failed accept, which is mostly a want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Finds the instance that a debugger is led to.
#[derive(Clone)]
struct Way {
    doors: watch::Receiver<Option<Arc<dyn DebuggerDoor>>>,
    debuggee: watch::Receiver<Option<Debuggee>>,
    /// When a connection ended last.
    last_end: Arc<Mutex<Option<Instant>>>,
}

/// Listens for debuggers until it is dropped.
pub(crate) struct Debuggers {
    _serving: AbortOnDropHandle<()>,
}

// === impl Way ===

impl Way {
    /// A connection to the instance of the version that was deployed last. One that does not answer is ending: the next is
    /// waited for.
    async fn reach(mut self) -> Result<TcpStream> {
        let last_end = *self.last_end.lock();
        if let Some(last_end) = last_end {
            tokio::time::sleep_until(last_end + BETWEEN).await;
        }
        loop {
            let debuggee = self.debuggee.borrow_and_update().clone();
            let door = self.doors.borrow_and_update().clone();
            if let Some(door) = door.filter(|door| Some(door.debuggee()) == debuggee.as_ref()) {
                match door.connect().await {
                    Ok(connection) => return stream(connection),
                    Err(error) => tracing::debug!(%error, "an instance lets no debugger in"),
                }
            }
            tokio::select! {
                changed = self.doors.changed() => changed,
                changed = self.debuggee.changed() => changed,
            }
            .context("the server has ended")?;
        }
    }
}

// === impl Debuggers ===

impl Debuggers {
    /// Begins to listen. With what lets them into instances, and what leads them to a version.
    pub(crate) fn start(debugger: Debugger) -> Result<(Self, Inspection, watch::Sender<Option<Debuggee>>)> {
        let Debugger { listener, waits, package, .. } = debugger;
        listener.set_nonblocking(true).context("cannot wait for debuggers")?;
        let listener = TcpListener::from_std(listener).context("cannot wait for debuggers")?;
        let (newest, doors) = watch::channel(None);
        let (leading, debuggee) = watch::channel(None);
        let inspection = Inspection { waits, package, debuggee: debuggee.clone(), newest: Arc::new(newest) };
        let way = Way { doors, debuggee, last_end: Arc::default() };
        let serving = AbortOnDropHandle::new(tokio::spawn(serve(listener, way)));
        Ok((Self { _serving: serving }, inspection, leading))
    }
}

async fn serve(listener: TcpListener, way: Way) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Ends them when this ends.
    let mut carried = JoinSet::new();
    loop {
        while carried.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let way = way.clone();
                carried.spawn(async move {
                    if let Err(error) = carry(stream, way).await {
                        tracing::debug!(%error, "a debugger was not connected");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a debugger");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Carries one connection to the instance and back until either side ends it.
async fn carry(mut outside: TcpStream, way: Way) -> Result<()> {
    let last_end = Arc::clone(&way.last_end);
    let reaching = tokio::time::timeout(DOOR_PATIENCE, way.reach());
    let mut inside = tokio::select! {
        reached = reaching => reached.context("no instance runs")??,
        () = hung_up(&outside) => return Ok(()),
    };
    for stream in [&outside, &inside] {
        // Debuggers talk in small messages.
        let _ = stream.set_nodelay(true);
    }
    let (mut from_outside, mut to_outside) = outside.split();
    let (mut from_inside, mut to_inside) = inside.split();
    // However it ends, it has ended.
    tokio::select! {
        _ = tokio::io::copy(&mut from_outside, &mut to_inside) => {}
        _ = tokio::io::copy(&mut from_inside, &mut to_outside) => {}
    }
    *last_end.lock() = Some(Instant::now());
    Ok(())
}

fn stream(connection: OwnedFd) -> Result<TcpStream> {
    let stream = StdStream::from(connection);
    stream.set_nonblocking(true)?;
    Ok(TcpStream::from_std(stream)?)
}

/// Waits until the other side has closed. What it has sent stays unread.
async fn hung_up(stream: &TcpStream) {
    let mut first = [0];
    if matches!(stream.peek(&mut first).await, Ok(0) | Err(_)) {
        return;
    }
    std::future::pending::<()>().await;
}
