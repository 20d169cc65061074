//! From a request for a connection to its answer: at once where nothing has to be waited for, else by a task.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_net::protocol::{Refusal, ServerMessage};
use faas_types::Transport;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Broken, Flow, FlowState, Outgoing, Session};
use crate::broker::destination::Destination;
use crate::broker::instance::{ConnectionPermit, Instance, Ruled};
use crate::broker::underway::Turn;
use crate::source_addresses::Begun;

type Made = Result<(OwnedFd, Ruled), Refusal>;

/// What a connection waits for.
enum Wait {
    /// The rate of its instance or project.
    Rate(Duration),
    /// Look-ups that decide whether it may be made, or a proxy.
    Ruling,
    /// The far end.
    FarEnd(OwnedFd, Ruled),
}

impl Session {
    /// Connects; the answer is sent before this returns unless the connection waits for something.
    pub(super) async fn connect(
        self: &Arc<Self>,
        flow: u64,
        instance: Arc<Instance>,
        to: Destination,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), Broken> {
        if self.flows.lock().contains_key(&flow) {
            return Err(Broken::Reused);
        }
        let Some((permit, pause)) = instance.connection(to) else {
            return self.say(ServerMessage::Refused { flow, how: Refusal::Denied }).await;
        };
        let begun = if pause.is_zero() { self.begin(&instance, to) } else { Err((Wait::Rate(pause), None)) };
        match begun {
            Ok(made) => {
                let place = self.place().await?;
                let mut flows = self.flows.lock();
                match self.judged(&instance, to, made) {
                    Ok((state, socket)) => {
                        self.hand_over(place, flow, &state, socket);
                        flows.insert(flow, Flow { instance, to, state, _permit: permit });
                    }
                    Err(how) => self.refuse(place, flow, how),
                }
            }
            Err(wait) => self.wait(flow, instance, to, (permit, wait), tasks),
        }
        Ok(())
    }

    /// What can be done without waiting; else what it waits for.
    fn begin(&self, instance: &Instance, to: Destination) -> Result<Made, (Wait, Option<Turn>)> {
        let Some(turn) = instance.connecting(&self.shared, to) else { return Ok(Err(Refusal::Denied)) };
        if !self.shared.host.is_fresh() {
            return Err((Wait::Ruling, Some(turn)));
        }
        let ruled = match instance.rule_at_once(&self.shared, to) {
            Some(Ok(ruled)) => ruled,
            Some(Err(())) => return Ok(Err(Refusal::Denied)),
            None => return Err((Wait::Ruling, Some(turn))),
        };
        let begun = match to.transport {
            Transport::Udp => return Ok(self.datagrams(instance, to, ruled)),
            Transport::Tcp => self.shared.dialer.begin((to.address, to.port).into()),
        };
        match begun {
            Some(Ok(Begun::Connected(socket))) => Ok(Ok((socket, ruled))),
            Some(Ok(Begun::UnderWay(socket))) => Err((Wait::FarEnd(socket, ruled), Some(turn))),
            Some(Err(error)) => Ok(Err(refusal(&error))),
            None => Err((Wait::Ruling, Some(turn))),
        }
    }

    fn datagrams(&self, instance: &Instance, to: Destination, ruled: Ruled) -> Made {
        if !self.shared.dialer.has_datagrams() {
            instance.deny_datagrams(to, ruled.names.first().map(|name| &**name));
            return Err(Refusal::Denied);
        }
        let socket = self.shared.dialer.udp((to.address, to.port).into()).map_err(|error| refusal(&error))?;
        Ok((socket, ruled))
    }

    fn wait(
        self: &Arc<Self>,
        flow: u64,
        instance: Arc<Instance>,
        to: Destination,
        (permit, (wait, turn)): (ConnectionPermit, (Wait, Option<Turn>)),
        tasks: &mut JoinSet<()>,
    ) {
        let (session, of) = (Arc::clone(self), Arc::clone(&instance));
        let mut flows = self.flows.lock();
        // The task finds the flow there: the lock is held until then.
        let task = tasks.spawn(async move {
            let made = session.made((flow, &of, to), wait).await;
            session.settle(flow, made).await;
        });
        flows.insert(flow, Flow { instance, to, state: FlowState::Connecting { task, turn }, _permit: permit });
    }

    async fn made(&self, (flow, instance, to): (u64, &Arc<Instance>, Destination), wait: Wait) -> Made {
        match wait {
            Wait::FarEnd(socket, ruled) => {
                let socket = self.shared.dialer.finish(socket).await.map_err(|error| refusal(&error))?;
                return Ok((socket, ruled));
            }
            Wait::Ruling => {}
            Wait::Rate(pause) => {
                tokio::time::sleep(pause).await;
                let own = instance.connecting(&self.shared, to).ok_or(Refusal::Denied)?;
                if let Some(Flow { state: FlowState::Connecting { turn, .. }, .. }) = self.flows.lock().get_mut(&flow) {
                    *turn = Some(own);
                }
            }
        }
        self.shared.host.refresh().await;
        let ruled = instance.rule(&self.shared, to).await.map_err(|()| Refusal::Denied)?;
        if to.transport == Transport::Udp {
            return self.datagrams(instance, to, ruled);
        }
        let made = self.shared.dialer.tcp((to.address, to.port).into()).await;
        let socket = made.and_then(tokio::net::TcpStream::into_std).map_err(|error| refusal(&error))?;
        Ok((socket.into(), ruled))
    }

    /// Answers for a connection that had to wait.
    async fn settle(&self, flow: u64, made: Made) {
        let Ok(place) = self.outbox.reserve().await else { return };
        let mut flows = self.flows.lock();
        let Some(own) = flows.get_mut(&flow) else { return };
        match self.judged(&own.instance, own.to, made) {
            Ok((state, socket)) => {
                own.state = state;
                self.hand_over(place, flow, &own.state, socket);
            }
            Err(how) => {
                flows.remove(&flow);
                self.refuse(place, flow, how);
            }
        }
    }

    /// Looks once more whether a connection may be used, since the rules may have changed while it was made. The caller
    /// holds the flows: from then on, changed rules find it there.
    fn judged(&self, instance: &Arc<Instance>, to: Destination, made: Made) -> Result<(FlowState, OwnedFd), Refusal> {
        let (socket, ruled) = made?;
        let is_checked = instance.may_open(&self.shared, to, &ruled).ok_or(Refusal::Denied)?;
        instance.opened(to);
        let open = FlowState::Open {
            names: ruled.names,
            sni: None,
            is_checked,
            was_checked: is_checked,
            is_closing: false,
            since: Instant::now(),
        };
        Ok((open, socket))
    }

    /// Sends a connected socket. The process sets its options, where it lives long enough.
    fn hand_over(&self, place: mpsc::Permit<'_, Outgoing>, flow: u64, state: &FlowState, socket: OwnedFd) {
        let check_name = matches!(state, FlowState::Open { is_checked: true, .. });
        let message = ServerMessage::Connected { flow, check_name };
        if !self.try_send(&message, &[socket.as_fd()]) {
            place.send((message, vec![socket]));
        }
    }

    fn refuse(&self, place: mpsc::Permit<'_, Outgoing>, flow: u64, how: Refusal) {
        let message = ServerMessage::Refused { flow, how };
        if !self.try_send(&message, &[]) {
            place.send((message, Vec::new()));
        }
    }
}

/// The message for a connection that was not made.
fn refusal(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Refusal::Refused,
        io::ErrorKind::TimedOut => Refusal::TimedOut,
        _ => Refusal::Unreachable,
    }
}
