//! One instance that has a network: its rules, what it knows, and what it has used up.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use faas_ports::{ClosedConnection, NetworkAccess, NetworkDenial, NetworkOwner};
use faas_types::{ConnectionLog, EgressHost, EgressPolicy, EgressTarget, PortRange, Transport};
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::watch;

use super::bucket::Bucket;
use super::denials::Denials;
use super::traffic::Traffic;
use super::underway::Turn;
use super::{BrokerLimits, Shared};
use crate::names::NameMemory;
use crate::resolver::Answer;
use crate::{Attempt, HostAddresses, Rule, Rules, Ruling};

/// Look-ups of one instance under way.
const QUERIES_MAX: u32 = 64;
/// Look-ups of one project under way: one function that asks for what nobody answers leaves others theirs.
const PROJECT_QUERIES_MAX: u32 = 512;
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
    /// How often a process has lost its device.
    losses: AtomicUsize,
    names: Mutex<NameMemory>,
    denials: Mutex<Denials>,
    pub(super) traffic: Arc<Traffic>,
    own: Share,
    project: Arc<Share>,
}

/// What an instance, or all of a project together, may have of each.
pub(super) struct Share {
    connections_max: u32,
    connections: AtomicU32,
    queries: AtomicU32,
    connects: Mutex<Bucket>,
    asks: Mutex<Bucket>,
    limits: [u32; 2],
    /// Of a project: its number for the process.
    number: u64,
}

/// A connection of an instance that counts.
pub(super) struct ConnectionPermit(Arc<Instance>);

/// A look-up of an instance that counts.
pub(super) struct QueryPermit {
    instance: Arc<Instance>,
    _turn: Turn,
}

/// Where a connection leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination {
    pub(super) transport: Transport,
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

// === impl Share ===

impl Share {
    pub(super) fn of_instance(limits: &BrokerLimits, now: Instant) -> Self {
        Self::new(limits.connections, limits.connect_rate, limits.query_rate, 0, now)
    }

    pub(super) fn of_project(limits: &BrokerLimits, number: u64, now: Instant) -> Self {
        Self::new(limits.project_connections, limits.project_connect_rate, limits.project_query_rate, number, now)
    }

    fn new(connections_max: u32, connect_rate: u32, query_rate: u32, number: u64, now: Instant) -> Self {
        Self {
            connections_max,
            connections: AtomicU32::new(0),
            queries: AtomicU32::new(0),
            connects: Mutex::new(Bucket::new(connect_rate, now)),
            asks: Mutex::new(Bucket::new(query_rate, now)),
            limits: [connect_rate, query_rate],
            number,
        }
    }
}

fn take(counter: &AtomicU32, most: u32) -> bool {
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < most).then_some(count + 1)).is_ok()
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
        let losses = AtomicUsize::new(0);
        Self { id, owner, policy, device, process, served_by, losses, names, denials, traffic, own, project }
    }

    /// Notes that a process has lost its device; how often that was so before.
    pub(super) fn note_loss(&self) -> usize {
        self.losses.fetch_add(1, Ordering::Relaxed)
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

    /// Rules on a connection now: the names that it may have.
    ///
    /// # Errors
    /// When it may not be made; that was told.
    pub(super) async fn rule(self: &Arc<Self>, shared: &Shared, to: Destination) -> Result<Vec<Arc<str>>, ()> {
        let (policy, host) = (self.policy(), shared.host.known());
        let rules = self.rules(shared, &policy, &host);
        let now = Instant::now();
        let mut names = self.names.lock().of(to.address, now);
        let mut ruling = to.ruled(&rules, &names);
        let lapsed = self.names.lock().lapsed(to.address, now);
        if !ruling.allowed && !lapsed.is_empty() {
            for name in lapsed.into_iter().filter(|name| rules.rule_on_name(name, None).allowed).take(LAPSED_MAX) {
                let Some(_permit) = self.query(shared) else { break };
                let found = shared.names.addresses(&name, to.address.is_ipv4(), &rules).await;
                self.learn(&name, &found);
            }
            // What was answered since counts, however short its time is.
            names = self.names.lock().of(to.address, now);
            ruling = to.ruled(&rules, &names);
        }
        if ruling.allowed {
            return Ok(names);
        }
        self.deny(names.first().map(|name| &**name), to, &ruling);
        Err(())
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
        to.transport == Transport::Tcp && self.rules(shared, &policy, &host).must_check_name(&to.attempt(names))
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

    /// Room for one more connection.
    pub(super) fn connection(self: &Arc<Self>, to: Destination) -> Option<ConnectionPermit> {
        let now = Instant::now();
        let refused = |rule: String, key: &str| {
            let host = to.address.to_string();
            let key = format!("{key} in the server's configuration");
            self.tell(host, Some(to.port), to.transport.as_str(), rule, key);
            None
        };
        for (share, whose, prefix) in [(&self.own, "instance", ""), (&*self.project, "project", "project_")] {
            if !share.connects.lock().take(now) {
                let rule = format!("more than {} new connections a second of the {whose}", share.limits[0]);
                return refused(rule, &format!("egress.{prefix}connect_rate"));
            }
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
        Some(ConnectionPermit(Arc::clone(self)))
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

// === impl Destination ===

impl Destination {
    pub(super) fn ruled<N: AsRef<str>>(self, rules: &Rules<'_>, names: &[N]) -> Ruling {
        rules.rule(&self.attempt(names))
    }

    fn attempt<N: AsRef<str>>(self, names: &[N]) -> Attempt<'_, N> {
        Attempt { transport: self.transport, address: self.address, port: Some(self.port), names }
    }
}

/// The rule and the setting where datagrams cannot be sent.
pub(super) fn no_datagrams() -> (String, String) {
    let rule = "the server's connections go through a proxy, which carries no datagrams".to_owned();
    (rule, "use TCP, or remove egress.proxy from the server's configuration".to_owned())
}

/// The rule that refused a connection, and the setting that would allow it.
pub(super) fn in_words(name: Option<&str>, to: Destination, ruling: &Ruling) -> (String, String) {
    let address = to.address.to_string();
    let mut rule = ruling.rule.to_string();
    if let (Some(_), Rule::Shut(_)) = (name, &ruling.rule) {
        rule = format!("{rule} ({address})");
    }
    let key = match (&ruling.rule, name) {
        // A name may lead elsewhere tomorrow: an operator opens addresses.
        (Rule::Shut(_), _) | (_, None) => advice(&address, Some(to), ruling),
        (_, Some(name)) => advice(name, Some(to), ruling),
    };
    (rule, key)
}

/// The setting to change, with the value that would allow this.
pub(super) fn advice(host: &str, to: Option<Destination>, ruling: &Ruling) -> String {
    let key = ruling.key;
    match &ruling.rule {
        Rule::Unseen(rule) if rule.transport.is_none() => {
            format!("use TCP, or write \"tcp://{rule}\" in {key}, which leaves QUIC open to every name")
        }
        Rule::Unasked(network) => format!("add \"{network}\" to {key}"),
        Rule::OperatorDeny(rule) | Rule::Deny(rule) | Rule::Unseen(rule) => format!("remove \"{rule}\" from {key}"),
        _ => {
            let of = match host.parse::<IpAddr>() {
                Ok(address) => EgressHost::network(address, u8::MAX),
                Err(_) => EgressHost::Name(host.to_owned()),
            };
            let transport = to.map(|to| to.transport).filter(|transport| *transport == Transport::Udp);
            let ports = to.map(|to| PortRange { first: to.port, last: to.port });
            format!("add \"{}\" to {key}", EgressTarget { transport, host: of, ports })
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

/// The shares of projects that have instances.
#[derive(Default)]
pub(super) struct ProjectShares {
    shares: Mutex<std::collections::HashMap<faas_types::ProjectId, Weak<Share>>>,
    next: AtomicU64,
}

// === impl ProjectShares ===

impl ProjectShares {
    pub(super) fn of(&self, project: faas_types::ProjectId, limits: &BrokerLimits) -> Arc<Share> {
        let mut shares = self.shares.lock();
        if let Some(share) = shares.get(&project).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let share = Arc::new(Share::of_project(limits, number, Instant::now()));
        shares.insert(project, Arc::downgrade(&share));
        share
    }
}
