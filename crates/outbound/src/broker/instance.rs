//! One instance that has a network: its rules, what it knows, and what it has used up.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use faas_ports::{ClosedConnection, NetworkAccess, NetworkDenial, NetworkOwner};
use faas_types::{ConnectionLog, EgressPolicy};
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::watch;

use super::Shared;
use super::advice::{advice, in_words, no_datagrams};
use super::denials::Denials;
use super::destination::Destination;
use super::shares::{Share, take};
use super::traffic::Traffic;
use super::underway::Turn;
use crate::names::NameMemory;
use crate::resolver::Answer;
use crate::{HostAddresses, Rules, Ruling};

/// Look-ups of one instance under way.
const QUERIES_MAX: u32 = 64;
/// Look-ups of one project under way: a function whose look-ups stay unanswered leaves the others their share.
const PROJECT_QUERIES_MAX: u32 = 512;
/// How long a loss of the device makes the next one be mended later.
const LOSSES_COUNT: Duration = Duration::from_secs(300);
/// How long a connection waits for its turn when there are more of them than the rate. Pools open many at once, and
/// programs wait longer than this for a far end.
const PACED_MAX: Duration = Duration::from_secs(1);
/// Names that are looked up again for one connection, when their time is over.
const LAPSED_MAX: usize = 4;

/// An instance that has a network.
pub(super) struct Instance {
    pub(super) id: u64,
    owner: NetworkOwner,
    policy: watch::Receiver<Arc<EgressPolicy>>,
    pub(super) device: OwnedFd,
    pub(super) process: OwnedFd,
    /// The process that has the device, by its number; 0 before the first.
    pub(super) served_by: AtomicU64,
    /// How often a process has lost its device of late, and when it did last.
    losses: Mutex<(u32, Option<Instant>)>,
    names: Mutex<NameMemory>,
    denials: Mutex<Denials>,
    pub(super) traffic: Arc<Traffic>,
    own: Share,
    project: Arc<Share>,
}

/// A connection of an instance that counts.
pub(super) struct ConnectionPermit(Arc<Instance>);

/// A look-up of an instance that counts.
pub(super) struct QueryPermit {
    instance: Arc<Instance>,
    _turn: Turn,
}

/// A connection that the rules let through.
pub(super) struct Ruled {
    /// The names that it may have.
    pub(super) names: Vec<Arc<str>>,
    /// Whether the name that its client gives has to be looked at.
    check_name: bool,
    /// What let it through.
    by: (Arc<EgressPolicy>, Arc<HostAddresses>),
}

// === impl Instance ===

impl Instance {
    pub(super) fn new(
        id: u64,
        owner: NetworkOwner,
        access: NetworkAccess,
        (device, process): (OwnedFd, OwnedFd),
        names: NameMemory,
        denials: Denials,
        (own, project): (Share, Arc<Share>),
    ) -> Self {
        let served_by = AtomicU64::new(0);
        let (names, denials) = (Mutex::new(names), Mutex::new(denials));
        let (policy, traffic) = (access.policy, Arc::new(Traffic::new(access.counters)));
        let losses = Mutex::default();
        Self { id, owner, policy, device, process, served_by, losses, names, denials, traffic, own, project }
    }

    /// Notes that a process has lost its device; how often that was so before, of late.
    pub(super) fn note_loss(&self, now: Instant) -> u32 {
        let mut losses = self.losses.lock();
        let is_late = losses.1.is_some_and(|last| now.saturating_duration_since(last) < LOSSES_COUNT);
        let times = if is_late { losses.0 } else { 0 };
        *losses = (times.saturating_add(1), Some(now));
        times
    }

    /// Its project's number for the process, which shares out by it.
    pub(super) fn project_number(&self) -> u64 {
        self.project.number
    }

    /// Whether its first process has ended, so that its device has, too.
    pub(super) fn has_ended(&self) -> bool {
        let mut process = [PollFd::new(&self.process, PollFlags::IN)];
        poll(&mut process, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    pub(super) fn policy(&self) -> Arc<EgressPolicy> {
        Arc::clone(&self.policy.borrow())
    }

    pub(super) fn rules<'r>(&self, shared: &'r Shared, policy: &'r EgressPolicy, host: &'r HostAddresses) -> Rules<'r> {
        Rules { operator: &shared.operator, policy, project: Some(self.owner.project), host }
    }

    /// Rules on a connection now.
    ///
    /// # Errors
    /// When it may not be made; that was told.
    pub(super) async fn rule(self: &Arc<Self>, shared: &Shared, to: Destination) -> Result<Ruled, ()> {
        if let Some(ruled) = self.rule_at_once(shared, to) {
            return ruled;
        }
        let (policy, host) = (self.policy(), shared.host.known());
        let rules = self.rules(shared, &policy, &host);
        let now = Instant::now();
        let lapsed = self.names.lock().lapsed(to.address, now);
        for name in lapsed.into_iter().filter(|name| rules.rule_on_name(name, None).allowed).take(LAPSED_MAX) {
            let Some(_permit) = self.query(shared) else { break };
            let found = shared.names.addresses(&name, to.address.is_ipv4(), &rules).await;
            self.learn(&name, &found);
        }
        // What was answered since counts, however short its time is.
        let names = self.names.lock().of(to.address, now);
        let ruling = to.ruled(&rules, &names);
        if ruling.allowed {
            let check_name = to.must_check_name(&rules, &names);
            return Ok(Ruled { names, check_name, by: (policy, host) });
        }
        self.deny(names.first().map(|name| &**name), to, &ruling);
        Err(())
    }

    /// The same without waiting; `None` where names have to be looked up again first.
    pub(super) fn rule_at_once(&self, shared: &Shared, to: Destination) -> Option<Result<Ruled, ()>> {
        let (policy, host) = (self.policy(), shared.host.known());
        let rules = self.rules(shared, &policy, &host);
        let now = Instant::now();
        let names = self.names.lock().of(to.address, now);
        let ruling = to.ruled(&rules, &names);
        if ruling.allowed {
            let check_name = to.must_check_name(&rules, &names);
            return Some(Ok(Ruled { names, check_name, by: (policy, host) }));
        }
        if !self.names.lock().lapsed(to.address, now).is_empty() {
            return None;
        }
        self.deny(names.first().map(|name| &**name), to, &ruling);
        Some(Err(()))
    }

    /// Whether a connection that was let through may be used now, and if so whether its name has to be looked at.
    pub(super) fn may_open(&self, shared: &Shared, to: Destination, ruled: &Ruled) -> Option<bool> {
        let is_same = Arc::ptr_eq(&ruled.by.0, &self.policy.borrow()) && Arc::ptr_eq(&ruled.by.1, &shared.host.known());
        if is_same {
            return Some(ruled.check_name);
        }
        self.still_allows(shared, to, &ruled.names, None).then(|| self.must_check_name(shared, to, &ruled.names))
    }

    /// Rules on the name that a client gives for a connection, as if that name alone led there.
    pub(super) fn rule_on_sni(&self, shared: &Shared, to: Destination, sni: &str) -> bool {
        let (policy, host) = (self.policy(), shared.host.known());
        let ruling = to.ruled(&self.rules(shared, &policy, &host), &[sni]);
        if !ruling.allowed {
            self.deny(Some(sni), to, &ruling);
        }
        ruling.allowed
    }

    /// Whether a connection that is open may stay.
    pub(super) fn still_allows(&self, shared: &Shared, to: Destination, names: &[Arc<str>], sni: Option<&str>) -> bool {
        let (policy, host) = (self.policy(), shared.host.known());
        let rules = self.rules(shared, &policy, &host);
        let by_sni = sni.map(|sni| to.ruled(&rules, &[sni])).filter(|ruling| !ruling.allowed);
        let ruling = to.ruled(&rules, names);
        // A name that was looked at counts where the rule is about names.
        let refused =
            if ruling.allowed { by_sni.filter(|_| rules.must_check_name(&to.attempt(names))) } else { Some(ruling) };
        if let Some(ruling) = &refused {
            self.deny(sni.or_else(|| names.first().map(|name| &**name)), to, ruling);
        }
        refused.is_none()
    }

    /// Whether a connection would have its name looked at by the rules as they are now.
    pub(super) fn must_check_name(&self, shared: &Shared, to: Destination, names: &[Arc<str>]) -> bool {
        let (policy, host) = (self.policy(), shared.host.known());
        to.must_check_name(&self.rules(shared, &policy, &host), names)
    }

    /// Tells of a connection whose name was not looked at, and is to be now.
    pub(super) fn deny_unseen(&self, to: Destination, names: &[Arc<str>]) {
        let host = names.first().map_or_else(|| to.address.to_string(), ToString::to_string);
        let rule = "the rules are about names now, and this connection's was not looked at".to_owned();
        self.tell(host, Some(to.port), to.transport.as_str(), rule, "connect again".to_owned());
    }

    /// Tells of private networks that the function asks for and will not get.
    pub(super) fn tell_missing_networks(&self, shared: &Shared) {
        for name in &self.policy().networks {
            if !shared
                .operator
                .networks
                .iter()
                .any(|network| network.name == *name && network.is_for(self.owner.project))
            {
                let rule = "there is no such network for this project".to_owned();
                let key = format!("add {name} to egress.networks in the server's configuration");
                self.tell(name.to_string(), None, "network", rule, key);
            }
        }
    }

    pub(super) fn take_answer(&self, answer: &Answer) {
        if let Some(learned) = &answer.learned {
            self.learn(&learned.name, &learned.addresses);
        }
        if let Some((host, ruling)) = &answer.denied {
            let key = advice(host, None, ruling);
            self.tell(host.clone(), None, "dns", ruling.rule.to_string(), key);
        }
    }

    fn learn(&self, name: &Arc<str>, addresses: &[(IpAddr, Duration)]) {
        let (mut names, now) = (self.names.lock(), Instant::now());
        for (address, ttl) in addresses {
            names.remember(name, *address, *ttl, now);
        }
    }

    fn deny(&self, name: Option<&str>, to: Destination, ruling: &Ruling) {
        let (rule, key) = in_words(name, to, ruling);
        let host = name.map_or_else(|| to.address.to_string(), str::to_owned);
        self.tell(host, Some(to.port), to.transport.as_str(), rule, key);
    }

    fn tell(&self, host: String, port: Option<u16>, protocol: &'static str, rule: String, key: String) {
        self.traffic.denied();
        let denial = NetworkDenial { host, port, protocol, rule, key, repeated: 0 };
        self.denials.lock().tell(denial, Instant::now());
    }

    /// Room for one more connection, and how long it has to wait for the rates of its instance and project.
    pub(super) fn connection(self: &Arc<Self>, to: Destination) -> Option<(ConnectionPermit, Duration)> {
        let now = Instant::now();
        let refused = |rule: String, key: &str| {
            let host = to.address.to_string();
            let key = format!("{key} in the server's configuration");
            self.tell(host, Some(to.port), to.transport.as_str(), rule, key);
            None
        };
        let mut pause = Duration::ZERO;
        for (share, whose, prefix) in [(&self.own, "instance", ""), (&*self.project, "project", "project_")] {
            let Some(longer) = share.connects.lock().take_within(PACED_MAX, now) else {
                let rule = format!("more than {} new connections a second of the {whose}", share.limits[0]);
                return refused(rule, &format!("egress.{prefix}connect_rate"));
            };
            pause = pause.max(longer);
        }
        if !take(&self.own.connections, self.own.connections_max) {
            let rule = format!("more than {} connections of the instance", self.own.connections_max);
            return refused(rule, "egress.connections");
        }
        if !take(&self.project.connections, self.project.connections_max) {
            self.own.connections.fetch_sub(1, Ordering::Relaxed);
            let rule = format!("more than {} connections of the project", self.project.connections_max);
            return refused(rule, "egress.project_connections");
        }
        Some((ConnectionPermit(Arc::clone(self)), pause))
    }

    /// Room for one more connection under way, of all instances together.
    pub(super) fn connecting(&self, shared: &Shared, to: Destination) -> Option<Turn> {
        let turn = shared.connecting.begin(self.owner.project);
        if turn.is_none() {
            let rule = "the project has its share of the server's connections that wait for their far ends".to_owned();
            let key = "wait until some stand, or have failed".to_owned();
            self.tell(to.address.to_string(), Some(to.port), to.transport.as_str(), rule, key);
        }
        turn
    }

    pub(super) fn run_ended(&self) {
        self.denials.lock().forget();
    }

    /// Tells that datagrams do not go by a proxy.
    pub(super) fn deny_datagrams(&self, to: Destination, name: Option<&str>) {
        let host = name.map_or_else(|| to.address.to_string(), str::to_owned);
        let (rule, key) = no_datagrams();
        self.tell(host, Some(to.port), to.transport.as_str(), rule, key);
    }

    /// Room for one more look-up.
    pub(super) fn query(self: &Arc<Self>, shared: &Shared) -> Option<QueryPermit> {
        let now = Instant::now();
        for (share, whose, prefix) in [(&self.own, "instance", ""), (&*self.project, "project", "project_")] {
            if !share.asks.lock().take(now) {
                let rule = format!("more than {} look-ups a second of the {whose}", share.limits[1]);
                let key = format!("egress.{prefix}query_rate in the server's configuration");
                self.tell("*".to_owned(), None, "dns", rule, key);
                return None;
            }
        }
        if !take(&self.own.queries, QUERIES_MAX) {
            return None;
        }
        if !take(&self.project.queries, PROJECT_QUERIES_MAX) {
            self.own.queries.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        match shared.queries.begin(self.owner.project) {
            Some(turn) => Some(QueryPermit { instance: Arc::clone(self), _turn: turn }),
            None => {
                self.own.queries.fetch_sub(1, Ordering::Relaxed);
                self.project.queries.fetch_sub(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// A connection stands: its names stay known while it does.
    pub(super) fn opened(&self, to: Destination) {
        self.names.lock().pin(to.address);
        self.traffic.opened();
    }

    pub(super) fn closed(&self, to: Destination) {
        self.names.lock().unpin(to.address);
        self.traffic.closed();
    }

    /// Tells of a connection that has ended, where its log is to have each.
    pub(super) fn tell_closed(&self, connection: impl FnOnce() -> ClosedConnection) {
        if self.policy.borrow().log == ConnectionLog::All {
            self.denials.lock().closed(connection(), Instant::now());
        }
    }

    /// The process that served it has ended.
    pub(super) fn interrupted(&self) {
        if self.traffic.begin_anew() {
            self.denials.lock().interrupted();
        }
    }
}

// === impl ConnectionPermit ===

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.own.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.project.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl QueryPermit ===

impl Drop for QueryPermit {
    fn drop(&mut self) {
        self.instance.own.queries.fetch_sub(1, Ordering::Relaxed);
        self.instance.project.queries.fetch_sub(1, Ordering::Relaxed);
    }
}
