//! Makes the connections of sandboxes.
//!
//! A network process carries what sandboxes send, and cannot open sockets. It asks here: the broker rules on each
//! connection, connects to exactly the address that it ruled on, and hands the socket over. It keeps the devices, so that a
//! process that was killed costs the connections that it carried and nothing else.

mod advice;
mod bucket;
mod denials;
mod destination;
mod instance;
mod orphans;
mod session;
mod shares;
mod traffic;
mod trial;
mod underway;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use faas_ports::{
    NetworkAccess, NetworkDevice, NetworkEvent, NetworkLease, NetworkOwner, NetworkProcess, NetworkProcesses,
    NetworkTarget, NetworkTrial, Networks, PortError, PortResult,
};
use faas_types::{EgressLimits, EgressPolicy, NetworkName, ProjectId};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::names::{KEPT, NameMemory};
use crate::resolver::{Answer, NameServer};
use crate::{Dialer, HostView, OperatorRules};
use denials::Denials;
use instance::Instance;
use session::Session;
use shares::{ProjectShares, Share};
use trial::Trials;
use underway::Underway;

/// How long a process may be silent. One that is asked then and says nothing for as long again, twice, hangs.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an instance waits for the first process.
const START: Duration = Duration::from_secs(10);
/// The pause before another process takes over from one that ended at once; it doubles each time.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How often a failed start is logged.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// A process that lived this long has not failed at its start.
const LIVED: Duration = Duration::from_secs(30);
/// Look-ups of all instances under way.
const QUERIES_MAX: u32 = 1_024;
/// Connections of all instances that wait for their far ends, where descriptors last.
const CONNECTING_MAX: u32 = 2_048;
/// The part of this process's descriptors that they may have.
const CONNECTING_PART: u64 = 8;

/// The operator's settings of a broker.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// What may be reached.
    pub operator: OperatorRules,
    /// What is known of this machine.
    pub host: Arc<HostView>,
    /// Makes the connections.
    pub dialer: Arc<Dialer>,
    /// How much of it.
    pub limits: EgressLimits,
    /// Connections of all instances that wait for their far ends; a project may have as many as are left over.
    pub connecting: u32,
}

/// Makes the connections of sandboxes.
pub struct Broker {
    shared: Arc<Shared>,
    /// Starts processes as long as there are instances.
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    operator: OperatorRules,
    limits: EgressLimits,
    dialer: Arc<Dialer>,
    host: Arc<HostView>,
    names: NameServer,
    /// Connections that wait for their far ends.
    connecting: Arc<Underway>,
    queries: Arc<Underway>,
    /// How long answers count at least.
    names_kept: Duration,
    /// How long a process may be silent before it is asked whether it is there.
    patience: Duration,
    processes: Arc<dyn NetworkProcesses>,
    instances: Mutex<HashMap<u64, Arc<Instance>>>,
    projects: ProjectShares,
    trials: Trials,
    next: AtomicU64,
    link: watch::Sender<Link>,
}

/// The process that there is.
#[derive(Clone)]
enum Link {
    Down,
    Up(Arc<Session>),
    Failed(String),
}

struct Lease {
    shared: Arc<Shared>,
    instance: Arc<Instance>,
    /// Looks at open connections again when the rules change.
    watcher: JoinHandle<()>,
}

// === impl Broker ===

impl Broker {
    /// A broker whose processes are started by `processes`, with the first instance.
    #[must_use]
    pub fn new(config: BrokerConfig, processes: Arc<dyn NetworkProcesses>) -> Self {
        let shared = Shared {
            operator: config.operator,
            limits: config.limits,
            dialer: config.dialer,
            names: NameServer { upstream: Arc::clone(&config.host.upstream) },
            host: config.host,
            connecting: Underway::new(config.connecting),
            queries: Underway::new(QUERIES_MAX),
            names_kept: KEPT,
            patience: PATIENCE,
            processes,
            instances: Mutex::default(),
            projects: ProjectShares::default(),
            trials: Trials::default(),
            next: AtomicU64::new(1),
            link: watch::Sender::new(Link::Down),
        };
        Self { shared: Arc::new(shared), supervisor: Mutex::default() }
    }

    /// The same with another time that answers count at least, in place of ten minutes. Before the first instance.
    #[must_use]
    pub fn keeping_names(mut self, kept: Duration) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.names_kept = kept;
        }
        self
    }

    /// The same with another time that a process may be silent. Before the first instance.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.patience = patience;
        }
        self
    }

    /// Returns the running network process, and starts one first if necessary.
    async fn session(&self) -> PortResult<Arc<Session>> {
        let mut link = {
            let mut supervisor = self.supervisor.lock();
            if supervisor.as_ref().is_none_or(JoinHandle::is_finished) {
                self.shared.link.send_replace(Link::Down);
                *supervisor = Some(tokio::spawn(supervise(Arc::clone(&self.shared))));
            }
            self.shared.link.subscribe()
        };
        let decided = tokio::time::timeout(START, link.wait_for(|link| !matches!(link, Link::Down))).await;
        let why = match decided.map(|link| link.map(|link| link.clone())) {
            Ok(Ok(Link::Up(session))) => return Ok(session),
            Ok(Ok(Link::Failed(why))) => why,
            _ => "it does not start".to_owned(),
        };
        Err(PortError::Isolation(format!("there is no process for the network of functions: {why}")))
    }
}

#[async_trait]
impl Networks for Broker {
    async fn attach(
        &self,
        device: NetworkDevice,
        owner: NetworkOwner,
        access: NetworkAccess,
        events: mpsc::Sender<NetworkEvent>,
    ) -> PortResult<Box<dyn NetworkLease>> {
        let shared = &self.shared;
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        let project = shared.projects.of(owner.project, &shared.limits);
        let own = Share::of_instance(&shared.limits, Instant::now());
        let watched = access.policy.clone();
        let names = NameMemory::new(shared.names_kept);
        let descriptors = (device.device, device.process);
        let instance =
            Arc::new(Instance::new(id, owner, access, descriptors, names, Denials::new(events), (own, project)));
        shared.instances.lock().insert(id, Arc::clone(&instance));
        let watcher = tokio::spawn(watch_policy(Arc::clone(shared), Arc::clone(&instance), watched));
        let lease = Lease { shared: Arc::clone(shared), instance, watcher };
        lease.instance.tell_missing_networks(shared);
        let session = self.session().await?;
        match session.attach(&lease.instance).await {
            // The next process attaches what this one no longer can.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(PortError::Isolation(format!("the network of the sandbox cannot be opened: {error}")))
            }
            _ => Ok(Box::new(lease)),
        }
    }

    fn granted(&self, project: ProjectId) -> BTreeSet<NetworkName> {
        let networks = self.shared.operator.networks.iter().filter(|network| network.is_for(project));
        networks.map(|network| network.name.clone()).collect()
    }

    async fn try_connection(
        &self,
        project: ProjectId,
        policy: &EgressPolicy,
        target: &NetworkTarget,
    ) -> PortResult<NetworkTrial> {
        let _permit = self.shared.trials.begin(project, Instant::now())?;
        Ok(self.shared.try_connection(project, policy, target).await)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(supervisor) = self.supervisor.get_mut() {
            supervisor.abort();
        }
        // The session holds what is shared, which holds the link.
        self.shared.link.send_replace(Link::Down);
    }
}

/// Keeps one process as long as there are instances.
async fn supervise(shared: Arc<Shared>) {
    let mut pause = PAUSE.0;
    let mut complaints = Complaints::default();
    loop {
        let processes = Arc::clone(&shared.processes);
        let begun = Instant::now();
        match tokio::task::spawn_blocking(move || processes.start()).await {
            Ok(Ok(process)) => {
                serve(&shared, process).await;
                shared.link.send_replace(Link::Down);
            }
            Ok(Err(error)) => {
                complaints.failed(&error);
                shared.link.send_replace(Link::Failed(error.to_string()));
            }
            // The runtime ends.
            Err(_) => return,
        }
        if shared.instances.lock().is_empty() {
            return;
        }
        pause = if begun.elapsed() > LIVED { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
        tokio::time::sleep(pause).await;
        shared.link.send_replace(Link::Down);
    }
}

/// Serves with a process until it ends. The instances that are there already get it, too.
async fn serve(shared: &Arc<Shared>, process: NetworkProcess) {
    let (session, queue) = match Session::new(shared.next.fetch_add(1, Ordering::Relaxed), shared, process.control) {
        Ok(both) => both,
        Err(error) => return tracing::warn!(%error, "the network process cannot be listened to"),
    };
    shared.link.send_replace(Link::Up(Arc::clone(&session)));
    let all: Vec<Arc<Instance>> = shared.instances.lock().values().cloned().collect();
    let attaching = async {
        session.attach_all(all).await;
        // What follows is the other branch's.
        std::future::pending().await
    };
    let outcome = tokio::select! {
        outcome = session.serve(queue) => outcome,
        outcome = attaching => outcome,
    };
    match outcome {
        Ok(()) => tracing::warn!("the network process has ended"),
        Err(error) => {
            tracing::warn!(%error, "the network process has failed");
            // It may not even see that the server hung up.
            (process.kill)();
        }
    }
}

/// Tells of the same trouble once in a while.
#[derive(Default)]
struct Complaints(Option<(String, Instant)>);

impl Complaints {
    fn failed(&mut self, error: &PortError) {
        let (text, now) = (error.to_string(), Instant::now());
        if self.0.as_ref().is_none_or(|(last, at)| *last != text || now.duration_since(*at) > COMPLAIN_EVERY) {
            tracing::error!(%error, "no process for the network of functions");
            self.0 = Some((text, now));
        }
    }
}

async fn watch_policy(shared: Arc<Shared>, instance: Arc<Instance>, mut policy: watch::Receiver<Arc<EgressPolicy>>) {
    while policy.changed().await.is_ok() {
        let link = shared.link.borrow().clone();
        if let Link::Up(session) = link {
            session.rule_again(&instance).await;
        }
    }
}

// === impl Shared ===

impl Shared {
    async fn answer(&self, instance: &Instance, bytes: &[u8], over_tcp: bool) -> Answer {
        self.host.refresh().await;
        let (policy, host) = (instance.policy(), self.host.known());
        self.names.answer(bytes, over_tcp, &instance.rules(self, &policy, &host)).await
    }
}

/// How many connections of all functions may be under way in a process with this limit of descriptors.
#[must_use]
pub fn connecting_max(descriptors: u64) -> u32 {
    u32::try_from(descriptors / CONNECTING_PART).unwrap_or(u32::MAX).min(CONNECTING_MAX)
}

// === impl Lease ===

impl NetworkLease for Lease {
    fn run_ended(&self) {
        self.instance.run_ended();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.watcher.abort();
        self.shared.instances.lock().remove(&self.instance.id);
        let link = self.shared.link.borrow().clone();
        if let Link::Up(session) = link {
            session.detach(&self.instance);
        }
    }
}

// === impl BrokerConfig ===

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            operator: OperatorRules::default(),
            host: Arc::default(),
            dialer: Arc::default(),
            limits: EgressLimits::DEFAULT,
            connecting: CONNECTING_MAX,
        }
    }
}
