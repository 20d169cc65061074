//! The connection to one network process. Everything that it says may have been made up by a sandbox that took it over.

mod connects;
mod control_socket;
mod listener;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use faas_net::protocol::{Gone, Limits, NetMessage, Protocol, RESET_MAX, Refusal, ServerMessage};
use faas_ports::ClosedConnection;
use faas_types::Transport;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::Shared;
use super::destination::Destination;
use super::instance::{ConnectionPermit, Instance};
use super::orphans::orphans;
use super::traffic::Traffic;
use super::underway::Turn;
use crate::resolver::busy;
use control_socket::ControlSocket;
use listener::Listener;

/// Messages to the process that wait.
const OUTBOX: usize = 1_024;
/// How far the process's own bounds are above those of the server.
const CONNECTIONS_ABOVE: u32 = 64;
const RATES_ABOVE: u32 = 2;
/// Connections of one instance that wait for their far ends.
const HALF_OPEN_MAX: u32 = 512;
/// Detached instances whose last words about their bytes are waited for.
const LEAVING_MAX: usize = 1_024;
/// How often a silent process is asked whether it is there.
const SILENCES_MAX: u32 = 2;
/// A process that takes nothing for this long has failed.
const STUCK: Duration = Duration::from_secs(10);
/// The pauses before a device is handed over again that could not be, or that the process has lost; each is four times as
/// long as the one before.
const ATTACH_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(30));

/// One network process and what it carries.
pub(super) struct Session {
    pub(super) number: u64,
    shared: Arc<Shared>,
    socket: ControlSocket,
    outbox: mpsc::Sender<Outgoing>,
    flows: Mutex<HashMap<u64, Flow>>,
    /// Whether it said something since it was looked at last.
    was_heard: AtomicBool,
    /// Detached instances that the process has not let go of.
    leaving: Mutex<HashMap<u64, Arc<Traffic>>>,
}

/// What is sent, with its descriptors.
pub(super) type Outgoing = (ServerMessage, Vec<OwnedFd>);

struct Flow {
    instance: Arc<Instance>,
    to: Destination,
    state: FlowState,
    _permit: ConnectionPermit,
}

enum FlowState {
    Connecting {
        task: AbortHandle,
        /// Given back at once when the flow ends.
        turn: Option<Turn>,
    },
    Open {
        names: Vec<Arc<str>>,
        /// The name in its client's handshake; `None` before it arrives, and when it has no name.
        sni: Option<String>,
        /// Whether the process waits for a word on that name.
        is_checked: bool,
        /// Whether the name was asked for when it was made.
        was_checked: bool,
        is_closing: bool,
        since: Instant,
    },
}

/// Why the process is not listened to any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it uses the number of a flow twice")]
    Reused,
    #[error("it takes no messages")]
    Stuck,
    #[error("it hangs: it says nothing, not even when it is asked")]
    Hung,
    #[error("the thread that listens to it has panicked")]
    Unheard,
}

// === impl Session ===

impl Session {
    pub(super) fn new(
        number: u64,
        shared: &Arc<Shared>,
        socket: OwnedFd,
    ) -> io::Result<(Arc<Self>, mpsc::Receiver<Outgoing>)> {
        let socket = ControlSocket::new(socket)?;
        let (outbox, queue) = mpsc::channel(OUTBOX);
        let (shared, was_heard) = (Arc::clone(shared), AtomicBool::new(true));
        let (flows, leaving) = (Mutex::default(), Mutex::default());
        Ok((Arc::new(Self { number, shared, socket, outbox, flows, was_heard, leaving }), queue))
    }

    /// Serves the process until it ends, or breaks the protocol.
    pub(super) async fn serve(self: &Arc<Self>, queue: mpsc::Receiver<Outgoing>) -> Result<(), Broken> {
        let mut listener = Listener::start(self)?;
        let spoken = async {
            tokio::select! {
                outcome = self.write(queue) => outcome,
                hangs = self.watch() => Err(hangs),
            }
        };
        let outcome = tokio::select! {
            outcome = listener.ended() => outcome,
            outcome = spoken => {
                self.socket.hang_up();
                // Its tasks may not change flows any more.
                let _ = listener.ended().await;
                outcome
            }
        };
        // Others may hold the session a little longer, and the process ends when it is hung up on.
        drop(listener);
        let flows = std::mem::take(&mut *self.flows.lock());
        let mut instances: HashMap<u64, Arc<Instance>> = HashMap::new();
        for flow in flows.values() {
            instances.insert(flow.instance.id, Arc::clone(&flow.instance));
        }
        instances.values().for_each(|instance| instance.interrupted());
        flows.into_values().for_each(Flow::end);
        outcome
    }

    /// Returns once the process hangs: a silent one is asked whether it is there, while it has something to serve.
    async fn watch(&self) -> Broken {
        let mut silences = 0;
        loop {
            tokio::time::sleep(self.shared.patience).await;
            if self.was_heard.swap(false, Ordering::Relaxed) || self.shared.instances.lock().is_empty() {
                silences = 0;
                continue;
            }
            silences += 1;
            if silences > SILENCES_MAX {
                return Broken::Hung;
            }
            // Where there is no room, messages wait already, which has a bound.
            let _ = self.outbox.try_send((ServerMessage::Ping, Vec::new()));
        }
    }

    async fn hear(self: &Arc<Self>, message: NetMessage, tasks: &mut JoinSet<()>) -> Result<(), Broken> {
        match message {
            NetMessage::Connect { sandbox, flow, protocol, address, port } => {
                let transport = match protocol {
                    Protocol::Tcp => Transport::Tcp,
                    Protocol::Udp => Transport::Udp,
                };
                match self.instance(sandbox).filter(|_| port != 0) {
                    Some(instance) => {
                        self.connect(flow, instance, Destination { transport, address, port }, tasks).await
                    }
                    None => self.say(ServerMessage::Refused { flow, how: Refusal::Denied }).await,
                }
            }
            NetMessage::Resolve { sandbox, query, bytes, over_tcp } => {
                let permit = self
                    .instance(sandbox)
                    .and_then(|instance| instance.query(&self.shared).map(|permit| (instance, permit)));
                let Some((instance, permit)) = permit else {
                    return self.say(ServerMessage::Answered { query, bytes: busy(&bytes) }).await;
                };
                let session = Arc::clone(self);
                tasks.spawn(async move {
                    let _permit = permit;
                    let answer = session.shared.answer(&instance, &bytes, over_tcp).await;
                    // Learned first: a program connects as soon as it has the answer.
                    instance.take_answer(&answer);
                    let _ = session.say(ServerMessage::Answered { query, bytes: answer.bytes }).await;
                });
                Ok(())
            }
            NetMessage::Name { flow, sni } => match self.named(flow, sni) {
                Some(allowed) => self.say(ServerMessage::Named { flow, allowed }).await,
                None => Ok(()),
            },
            NetMessage::Closed { flow, up, down } => {
                let flow = self.flows.lock().remove(&flow);
                if let Some(flow) = flow {
                    flow.tell(up, down);
                    flow.end();
                }
                Ok(())
            }
            NetMessage::Usage { sandbox, usage } => {
                if let Some(instance) = self.instance(sandbox) {
                    instance.traffic.carried(usage.up, usage.down);
                } else if let Some(traffic) = self.leaving.lock().get(&sandbox) {
                    traffic.carried(usage.up, usage.down);
                }
                Ok(())
            }
            NetMessage::Gone { sandbox, why } => {
                self.leaving.lock().remove(&sandbox);
                self.forget(sandbox);
                self.lost(sandbox, why, tasks);
                Ok(())
            }
            NetMessage::Ready | NetMessage::Pong => Ok(()),
        }
    }

    /// An instance that this process serves.
    fn instance(&self, id: u64) -> Option<Arc<Instance>> {
        let instance = self.shared.instances.lock().get(&id).map(Arc::clone)?;
        (instance.served_by.load(Ordering::Acquire) == self.number).then_some(instance)
    }

    /// Rules on the name of a flow; `None` where the flow does not wait for it.
    fn named(&self, flow: u64, name: Option<String>) -> Option<bool> {
        let mut flows = self.flows.lock();
        let Flow { instance, to, state: FlowState::Open { sni, is_checked: is_checked @ true, .. }, .. } =
            flows.get_mut(&flow)?
        else {
            return None;
        };
        *is_checked = false;
        sni.clone_from(&name);
        Some(name.is_none_or(|name| instance.rule_on_sni(&self.shared, *to, name.trim_end_matches('.'))))
    }

    /// Looks at the open flows of an instance again, and closes those that its rules do not allow any more.
    pub(super) async fn rule_again(&self, instance: &Arc<Instance>) {
        let of = |flow: &Flow| flow.instance.id == instance.id;
        let all: Vec<u64> = self.flows.lock().iter().filter(|(_, flow)| of(flow)).map(|(flow, _)| *flow).collect();
        for flow in all {
            let Ok(place) = self.outbox.reserve().await else { return };
            let mut flows = self.flows.lock();
            let Some(Flow { to, state: FlowState::Open { names, sni, is_closing, was_checked, .. }, .. }) =
                flows.get_mut(&flow)
            else {
                continue;
            };
            if *is_closing {
                continue;
            }
            let is_allowed = instance.still_allows(&self.shared, *to, names, sni.as_deref());
            let is_unseen = is_allowed && !*was_checked && instance.must_check_name(&self.shared, *to, names);
            if is_unseen {
                instance.deny_unseen(*to, names);
            }
            if !is_allowed || is_unseen {
                *is_closing = true;
                place.send((ServerMessage::Close { flow }, Vec::new()));
            }
        }
    }

    /// The process does not serve a sandbox any more. One that lives is handed over again.
    fn lost(self: &Arc<Self>, sandbox: u64, why: Gone, tasks: &mut JoinSet<()>) {
        let Some(instance) = self.instance(sandbox).filter(|instance| !instance.has_ended()) else { return };
        let times = instance.note_loss(Instant::now());
        tracing::warn!(sandbox, ?why, times, "the network process has lost the device of a sandbox");
        instance.interrupted();
        // As if an earlier process had served it: what that has left behind is reset.
        let earlier = (self.number, self.number - 1);
        let _ = instance.served_by.compare_exchange(earlier.0, earlier.1, Ordering::AcqRel, Ordering::Acquire);
        let session = Arc::clone(self);
        tasks.spawn(async move {
            tokio::time::sleep(pause_after(times)).await;
            session.attach_all(vec![instance]).await;
        });
    }

    /// Hands devices of instances to the process, and those again where that fails.
    pub(super) async fn attach_all(&self, mut instances: Vec<Arc<Instance>>) {
        for times in 0.. {
            let mut failed = Vec::new();
            for instance in instances {
                let is_there = self.shared.instances.lock().contains_key(&instance.id);
                match if is_there { self.attach(&instance).await } else { Ok(()) } {
                    Ok(()) => {}
                    // The next process is given them.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return,
                    Err(error) => {
                        tracing::warn!(%error, sandbox = instance.id, "the network of a sandbox is not there yet");
                        failed.push(instance);
                    }
                }
            }
            if failed.is_empty() {
                return;
            }
            instances = failed;
            tokio::time::sleep(pause_after(times)).await;
        }
    }

    /// Hands an instance's device to the process, unless that was done.
    pub(super) async fn attach(&self, instance: &Arc<Instance>) -> io::Result<()> {
        let descriptors = vec![instance.device.try_clone()?, instance.process.try_clone()?];
        // Numbers of later processes are higher: one that was held up takes nothing away from its successor.
        let before = instance.served_by.fetch_max(self.number, Ordering::AcqRel);
        if before >= self.number {
            return Ok(());
        }
        let own = &self.shared.limits;
        // Above the bounds that the server holds itself: it refuses in words, where the process drops in silence.
        let limits = Limits {
            connections: own.connections.saturating_add(CONNECTIONS_ABOVE),
            half_open: own.connections.min(HALF_OPEN_MAX),
            flows_a_second: own.connect_rate.saturating_mul(RATES_ABOVE),
            queries_a_second: own.query_rate.saturating_mul(RATES_ABOVE),
            bytes_a_second: own.bandwidth,
            project_bytes_a_second: own.project_bandwidth,
            ..Limits::default()
        };
        let attach = ServerMessage::Attach { sandbox: instance.id, project: instance.project_number(), limits };
        self.outbox.send((attach, descriptors)).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
        if before != 0 {
            let of = Arc::clone(instance);
            let left = tokio::task::spawn_blocking(move || orphans(of.process.as_fd())).await.unwrap_or_default();
            for part in left.chunks(RESET_MAX) {
                let reset = ServerMessage::Reset { sandbox: instance.id, connections: part.to_vec() };
                self.outbox.send((reset, Vec::new())).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
            }
        }
        Ok(())
    }

    /// Takes a device back.
    pub(super) fn detach(self: &Arc<Self>, instance: &Instance) {
        let sandbox = instance.id;
        self.forget(sandbox);
        let mut leaving = self.leaving.lock();
        if leaving.len() < LEAVING_MAX && instance.served_by.load(Ordering::Acquire) == self.number {
            leaving.insert(sandbox, Arc::clone(&instance.traffic));
        }
        drop(leaving);
        let message = (ServerMessage::Detach { sandbox }, Vec::new());
        if let Err(mpsc::error::TrySendError::Full(message)) = self.outbox.try_send(message)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let outbox = self.outbox.clone();
            // Ends with the session at the latest: its queue closes then.
            runtime.spawn(async move { outbox.send(message).await });
        }
    }

    fn forget(&self, sandbox: u64) {
        let gone: Vec<Flow> = {
            let mut flows = self.flows.lock();
            flows.extract_if(|_, flow| flow.instance.id == sandbox).map(|(_, flow)| flow).collect()
        };
        gone.into_iter().for_each(Flow::end);
    }

    async fn say(&self, message: ServerMessage) -> Result<(), Broken> {
        if !self.try_send(&message, &[]) {
            self.place().await?.send((message, Vec::new()));
        }
        Ok(())
    }

    /// Room for one more message that waits.
    async fn place(&self) -> Result<mpsc::Permit<'_, Outgoing>, Broken> {
        if let Ok(place) = self.outbox.try_reserve() {
            return Ok(place);
        }
        let reserving = self.outbox.reserve();
        tokio::time::timeout(STUCK, reserving).await.map_err(|_| Broken::Stuck)?.map_err(|_| Broken::Stuck)
    }

    /// Sends a message before all that wait, if the process takes it now.
    fn try_send(&self, message: &ServerMessage, descriptors: &[BorrowedFd<'_>]) -> bool {
        // What is wrong with the socket is found by those who wait for it.
        self.socket.try_send(message, descriptors).is_ok()
    }

    /// Sends what waits, in order.
    async fn write(&self, mut queue: mpsc::Receiver<Outgoing>) -> Result<(), Broken> {
        while let Some((message, descriptors)) = queue.recv().await {
            let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
            let sending = self.socket.send(&message, &borrowed);
            tokio::time::timeout(STUCK, sending).await.map_err(|_| Broken::Stuck)??;
        }
        Ok(())
    }
}

/// How long to wait after this many failed tries.
fn pause_after(times: u32) -> Duration {
    let (first, last) = ATTACH_AGAIN;
    first.saturating_mul(4_u32.saturating_pow(times)).min(last)
}

// === impl Flow ===

impl Flow {
    /// Puts a connection that the process has closed into the log that is to have it.
    fn tell(&self, sent: u64, received: u64) {
        let FlowState::Open { names, sni, since, .. } = &self.state else { return };
        let Destination { transport, address, port } = self.to;
        self.instance.tell_closed(|| ClosedConnection {
            host: sni.clone().or_else(|| names.first().map(ToString::to_string)),
            address,
            port,
            transport,
            sent,
            received,
            lasted: since.elapsed(),
            unreported: 0,
        });
    }

    fn end(self) {
        match self.state {
            FlowState::Connecting { task, .. } => task.abort(),
            FlowState::Open { .. } => self.instance.closed(self.to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_device_is_tried_again_for_ever_and_ever_later() {
        let pauses: Vec<_> = (0..9).map(pause_after).collect();
        assert!(pauses.is_sorted() && pauses[0] == ATTACH_AGAIN.0 && pauses[1] == ATTACH_AGAIN.0 * 4, "{pauses:?}");
        assert_eq!((pauses[8], pause_after(u32::MAX)), (ATTACH_AGAIN.1, ATTACH_AGAIN.1));
    }
}
