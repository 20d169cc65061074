//! Connections of a build to the outside, each in its own task.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use faas_ports::{Egress, Wire};
use faas_proto::build::{BuildKind, OpenHead, WINDOW, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Connections at once.
const AT_ONCE: usize = 32;
/// Connections of one build.
const TUNNELS_MAX: u32 = 20_000;
/// Bytes that one build may fetch.
const FETCHED_MAX: u64 = 4 << 30;
/// Bytes of a host's name.
const HOST_MAX: usize = 253;
/// How long a connection may be silent both ways.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes read from outside at once.
const READ_LEN: u32 = 32 << 10;

/// The connections of one build. Dropping it ends them.
pub(super) struct Tunnels {
    egress: Arc<dyn Egress>,
    outbox: mpsc::Sender<Bytes>,
    open: HashMap<u32, Ends>,
    tasks: JoinSet<(u32, Option<String>)>,
    fetched: Arc<AtomicU64>,
    last: u32,
}

/// What the build's side of a connection is held by.
struct Ends {
    inbox: mpsc::UnboundedSender<Bytes>,
    /// Bytes that the build may still send; given back as the outside takes them.
    window: Arc<Semaphore>,
    /// Bytes that the build still takes.
    credit: Arc<Semaphore>,
}

/// One connection, as its task sees it.
struct Tunnel {
    stream: u32,
    outbox: mpsc::Sender<Bytes>,
    inbox: mpsc::UnboundedReceiver<Bytes>,
    window: Arc<Semaphore>,
    credit: Arc<Semaphore>,
    fetched: Arc<AtomicU64>,
}

// === impl Tunnels ===

impl Tunnels {
    pub(super) fn new(egress: Arc<dyn Egress>, outbox: mpsc::Sender<Bytes>) -> Self {
        Self { egress, outbox, open: HashMap::new(), tasks: JoinSet::new(), fetched: Arc::default(), last: 0 }
    }

    /// Begins a connection.
    pub(super) fn open(&mut self, stream: u32, head: OpenHead) -> Result<(), &'static str> {
        if stream <= self.last || stream > TUNNELS_MAX {
            return Err("a connection's number is used again, or there were too many");
        }
        if head.host.len() > HOST_MAX {
            return Err("a host's name is too long");
        }
        // Those of which the task has not been reaped count as well: a build cannot make more of them than this.
        if self.tasks.len() >= AT_ONCE {
            return Err("too many connections at once");
        }
        self.last = stream;
        let (sender, inbox) = mpsc::unbounded_channel();
        let (window, credit) = (full(), full());
        self.open.insert(stream, Ends { inbox: sender, window: Arc::clone(&window), credit: Arc::clone(&credit) });
        let (outbox, fetched) = (self.outbox.clone(), Arc::clone(&self.fetched));
        let tunnel = Tunnel { stream, outbox, inbox, window, credit, fetched };
        let egress = Arc::clone(&self.egress);
        self.tasks.spawn(async move { (stream, tunnel.run(&*egress, &head).await) });
        Ok(())
    }

    /// Bytes for the outside. What waits is bounded by the window.
    pub(super) fn send(&self, stream: u32, bytes: Bytes) -> Result<(), &'static str> {
        // A connection that has just ended here may not have ended there.
        let Some(ends) = self.open.get(&stream) else { return Ok(()) };
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        match ends.window.try_acquire_many(length) {
            Ok(permits) if length > 0 => permits.forget(),
            _ => return Err("more was sent than may wait"),
        }
        // Its task has ended and is about to be reaped.
        let _ = ends.inbox.send(bytes);
        Ok(())
    }

    /// The build takes more from outside.
    pub(super) fn taken(&self, stream: u32, payload: &[u8]) -> Result<(), &'static str> {
        let more = u32::from_le_bytes(payload.try_into().map_err(|_| "a malformed window")?);
        let Some(ends) = self.open.get(&stream) else { return Ok(()) };
        if ends.credit.available_permits() + more as usize > WINDOW as usize {
            return Err("more is taken than was sent");
        }
        ends.credit.add_permits(more as usize);
        Ok(())
    }

    /// The build needs it no more.
    pub(super) fn close(&mut self, stream: u32) {
        self.open.remove(&stream);
    }

    /// Waits until a connection has ended; returns why, where that is worth a line. Never returns while there is no connection.
    pub(super) async fn ended(&mut self) -> Option<String> {
        match self.tasks.join_next().await {
            Some(Ok((stream, why))) => {
                self.open.remove(&stream);
                why
            }
            Some(Err(_)) => None,
            None => std::future::pending().await,
        }
    }
}

fn full() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(WINDOW as usize))
}

// === impl Tunnel ===

impl Tunnel {
    /// Until either side ends it. The outbox fails only when the build is over.
    async fn run(mut self, egress: &dyn Egress, head: &OpenHead) -> Option<String> {
        let wire = match egress.connect(&head.host, head.port).await {
            Ok(wire) => wire,
            Err(error) => {
                let why = error.to_string();
                let _ = self.outbox.send(encode(BuildKind::Refused, self.stream, why.as_bytes())).await;
                return Some(why);
            }
        };
        let _ = self.outbox.send(encode(BuildKind::Connected, self.stream, &[])).await;
        let why = self.carry(wire).await;
        let _ = self.outbox.send(encode(BuildKind::Close, self.stream, &[])).await;
        why.map(str::to_owned)
    }

    async fn carry(&mut self, wire: Box<dyn Wire>) -> Option<&'static str> {
        let (mut reader, mut writer) = tokio::io::split(wire);
        let mut buffer = vec![0; READ_LEN as usize];
        loop {
            let fetch = async {
                let permits = self.credit.acquire_many(READ_LEN).await.ok()?;
                let count = reader.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
                permits.forget();
                self.credit.add_permits(READ_LEN as usize - count);
                Some(count)
            };
            tokio::select! {
                fetched = fetch => {
                    let count = fetched?;
                    let so_far = self.fetched.fetch_add(count as u64, Ordering::Relaxed);
                    if so_far > FETCHED_MAX {
                        return Some("the build fetched more than 4 GB");
                    }
                    self.outbox.send(encode(BuildKind::Data, self.stream, &buffer[..count])).await.ok()?;
                }
                sent = self.inbox.recv() => {
                    let bytes = sent?;
                    tokio::time::timeout(SILENCE, writer.write_all(&bytes)).await.ok()?.ok()?;
                    self.window.add_permits(bytes.len());
                    let more = u32::try_from(bytes.len()).unwrap_or(0).to_le_bytes();
                    self.outbox.send(encode(BuildKind::Window, self.stream, &more)).await.ok()?;
                }
                () = tokio::time::sleep(SILENCE) => return None,
            }
        }
    }
}
