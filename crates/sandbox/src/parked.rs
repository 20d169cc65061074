//! Sandboxes that wait, as the server holds them.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_ports::{Assigner, Assignment, NetworkDevice, ParkedSandbox, PortError, PortResult};
use faas_types::{IsolationLevel, NetworkMode};
use rustix::net::SocketType;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::cgroup::Cgroup;
use crate::child::{AssignOutcome, Order, detached_layer};
use crate::control::LinuxControl;
use crate::launch::{admit, ends, network_device, on_host, order_socket, settled};
use crate::limits::Limits;
use crate::packet::{receive, send, send_bytes};
use crate::pair::pair;
use crate::passing::Passing;
use crate::problem::{During, OpenError, Problem, Step};
use crate::spawner_client::SpawnerClient;
use crate::spawner_protocol::OpenRequest;

/// An assigner needs microseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// The socket to a parked sandbox's assigner, which waits for one order.
struct LinuxAssigner {
    order: AsyncFd<OwnedFd>,
    /// The first one inside.
    process: Arc<OwnedFd>,
    cgroup: Option<Cgroup>,
    passing: Arc<Passing>,
    /// Those that hold now.
    limits: Limits,
    level: IsolationLevel,
}

/// A zygote to ask for a fork, and the arguments of the program that the fork stands for, each but the last with a zero
/// byte behind it.
pub(crate) struct Parent<'a> {
    pub(crate) socket: &'a AsyncFd<OwnedFd>,
    pub(crate) argv: &'a [u8],
}

/// Opens a sandbox that waits. Its program is a fork when a zygote is given.
pub(crate) async fn park(
    link: &SpawnerClient,
    request: OpenRequest,
    level: IsolationLevel,
    zygote: Option<Parent<'_>>,
) -> Result<ParkedSandbox, OpenError> {
    let failed = |error: io::Error| PortError::io("making the descriptors of a sandbox", error);
    let (ends, mut handover) = ends(SocketType::STREAM)?;
    let (order, inner) = order_socket()?;
    handover.order = Some(inner);
    let outside = match zygote {
        Some(zygote) => {
            let (outside, inside) = pair(SocketType::STREAM).map_err(failed)?;
            handover.door = Some(inside);
            Some((zygote, outside))
        }
        None => None,
    };
    let limits = request.limits;
    let opened = link.open(request, &handover.borrow()).await?;
    let cgroup = opened.cgroup.clone();
    if let Some((zygote, outside)) = outside {
        let entrances = cgroup.as_ref().map(Cgroup::entrances).transpose().during(Step::JoinCgroup)?;
        let fixed = [opened.pidfd.as_fd(), handover.channel.as_fd(), handover.stdout.as_fd(), handover.stderr.as_fd()];
        let fds: Vec<_> =
            fixed.into_iter().chain([outside.as_fd()]).chain(entrances.iter().flatten().map(File::as_fd)).collect();
        zygote.fork(&fds).await?;
    }
    drop(handover);
    let process = Arc::clone(&opened.pidfd);
    let control = LinuxControl::new(opened, level);
    let passing = Arc::clone(&control.passing);
    let sandbox = settled(control, ends).await?;
    let assigner = LinuxAssigner { order, process, cgroup, passing, limits, level };
    Ok(ParkedSandbox { sandbox, assigner: Box::new(assigner) })
}

// === impl Parent ===

impl Parent<'_> {
    /// Asks for a fork: the sandbox's first process, the program's descriptors, the door, the cgroups to join.
    async fn fork(&self, fds: &[BorrowedFd<'_>]) -> PortResult<()> {
        let asking = self.socket.async_io(Interest::WRITABLE, |socket| send_bytes(socket.as_fd(), self.argv, fds));
        let asked = tokio::time::timeout(PATIENCE, asking).await;
        let asked = asked.map_err(|_| PortError::failed("asking a zygote", "it does not answer"))?;
        asked.map_err(|error| PortError::failed("asking a zygote", error))
    }
}

// === impl LinuxAssigner ===

impl LinuxAssigner {
    async fn deliver(&self, order: &Order, mounts: &[OwnedFd], wanted: &Limits) -> PortResult<Option<NetworkDevice>> {
        let failed = |error: std::io::Error| PortError::failed("assigning a parked sandbox", error);
        let fds: Vec<BorrowedFd<'_>> = mounts.iter().map(AsFd::as_fd).collect();
        let sending = self.order.async_io(Interest::WRITABLE, |socket| send(socket.as_fd(), order, &fds));
        sending.await.map_err(failed)?;
        // While the assigner is at work.
        if let Some(cgroup) = &self.cgroup {
            cgroup.adjust(&self.limits, wanted).during(Step::CreateCgroup)?;
            self.passing.note(cgroup.processes().unwrap_or_default());
        }
        let answer = self.order.async_io(Interest::READABLE, |socket| receive::<AssignOutcome>(socket.as_fd())).await;
        match answer.map_err(failed)? {
            Some((delivery, fds)) => {
                delivery?;
                let is_networked = order.network == NetworkMode::Egress;
                is_networked.then(|| network_device(fds, &self.process)).transpose()
            }
            None => Err(PortError::failed("assigning a parked sandbox", "it has ended")),
        }
    }
}

#[async_trait]
impl Assigner for LinuxAssigner {
    async fn assign(self: Box<Self>, assignment: Assignment) -> PortResult<Option<NetworkDevice>> {
        admit(self.level, assignment.min_isolation)?;
        let Assignment { memory_bytes, cpu_millis, .. } = assignment;
        let limits = Limits { memory_bytes, cpu_millis, ..self.limits };
        let mut mounts = Vec::with_capacity(assignment.mounts.len());
        for mount in &assignment.mounts {
            mounts.push(detached_layer(&on_host(&mount.source)?).map_err(|problem: Problem| PortError::from(problem))?);
        }
        let targets = assignment.mounts.into_iter().map(|mount| mount.target).collect();
        let order = Order { targets, limits, network: assignment.network };
        let delivering = self.deliver(&order, &mounts, &limits);
        let outcome = tokio::time::timeout(PATIENCE, delivering).await;
        outcome.map_err(|_| PortError::failed("assigning a parked sandbox", "it does not answer"))?
    }
}
