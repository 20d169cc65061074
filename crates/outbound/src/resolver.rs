//! Looks names up at the name servers of the machine, or at those that the operator names.

mod answers;
mod question;
mod server;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;

use crate::Nat64Prefix;
use crate::seldom::Seldom;
use answers::Answers;
pub(crate) use question::busy;
pub(crate) use server::{Answer, Leads, NameServer};

const SYSTEM: &str = "/etc/resolv.conf";
/// How often the machine's name servers are looked at again.
const FRESH: Duration = Duration::from_secs(5);
/// How long one try may take.
const TRY: Duration = Duration::from_secs(2);
/// How long a look-up may take with all its tries.
const WHOLE: Duration = Duration::from_secs(8);
/// Records of one answer that are passed on.
const RECORDS_MAX: usize = 64;

/// Looks names up. Everything that it knows is public: sandboxes share it.
#[derive(Debug)]
pub(crate) struct Upstream {
    servers: Vec<SocketAddr>,
    made: Mutex<Option<Made>>,
    answers: Answers,
    /// Limits the warning that there is no name server: sandboxes decide how often they ask.
    complaint: Seldom,
}

#[derive(Debug)]
struct Made {
    resolver: Arc<TokioResolver>,
    checked: Instant,
    /// When the machine's name servers changed last.
    of: Option<SystemTime>,
}

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Aliases and records of the kind that was asked for, in the order of the answer.
    Records(Vec<Record>),
    /// The name has no record of this kind.
    Empty,
    /// There is no such name.
    NoSuchName,
    /// Nobody answered.
    Failed,
}

// === impl Found ===

impl Found {
    /// The records, where there are any.
    pub(crate) fn records(self) -> Vec<Record> {
        match self {
            Self::Records(records) => records,
            Self::Empty | Self::NoSuchName | Self::Failed => Vec::new(),
        }
    }
}

// === impl Upstream ===

impl Upstream {
    /// Asks these name servers; those of `/etc/resolv.conf` when there are none.
    #[must_use]
    pub(crate) fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers, made: Mutex::new(None), answers: Answers::new(), complaint: Seldom::default() }
    }

    /// The records of a name of this kind, with the `CNAME`s before them.
    pub(crate) async fn look_up(&self, name: &Name, kind: RecordType) -> Found {
        // The dot at the end keeps search domains off.
        let mut name = name.to_lowercase();
        name.set_fqdn(true);
        if let Some(found) = self.answers.get(&name, kind, Instant::now()) {
            return found;
        }
        let resolver = match self.resolver() {
            Ok(resolver) => resolver,
            Err(error) => {
                if self.complaint.is_due() {
                    tracing::warn!(%error, "functions have no name server; name one in egress.resolvers");
                }
                return Found::Failed;
            }
        };
        let looking = tokio::time::timeout(WHOLE, resolver.lookup(name.clone(), kind));
        let Ok(answer) = looking.await else { return Found::Failed };
        let (found, lasts) = found(answer, kind);
        if let Some(lasts) = lasts {
            self.answers.keep((name, kind), found.clone(), lasts, Instant::now());
        }
        found
    }

    /// How this site translates addresses of IPv4 (RFC 7050); `None` where no server answers.
    pub(crate) async fn translation(&self) -> Option<Vec<Nat64Prefix>> {
        let name = Name::from_ascii("ipv4only.arpa.").ok()?;
        let records = match self.look_up(&name, RecordType::AAAA).await {
            Found::Records(records) => records,
            Found::Empty | Found::NoSuchName => Vec::new(),
            Found::Failed => return None,
        };
        let mut prefixes = Vec::new();
        for record in records {
            if let RData::AAAA(address) = record.data
                && let Some(prefix) = Nat64Prefix::found(address.0)
                && !prefixes.contains(&prefix)
            {
                prefixes.push(prefix);
            }
        }
        Some(prefixes)
    }

    fn resolver(&self) -> io::Result<Arc<TokioResolver>> {
        let mut made = self.made.lock();
        if let Some(made) = &mut *made {
            if made.checked.elapsed() < FRESH || !self.servers.is_empty() {
                return Ok(Arc::clone(&made.resolver));
            }
            made.checked = Instant::now();
            if made.of == changed() {
                return Ok(Arc::clone(&made.resolver));
            }
        }
        let of = changed();
        let resolver = Arc::new(build(&self.servers)?);
        *made = Some(Made { resolver: Arc::clone(&resolver), checked: Instant::now(), of });
        Ok(resolver)
    }
}

fn changed() -> Option<SystemTime> {
    Path::new(SYSTEM).metadata().and_then(|metadata| metadata.modified()).ok()
}

fn build(servers: &[SocketAddr]) -> io::Result<TokioResolver> {
    let config = if servers.is_empty() {
        let (system, _) = hickory_resolver::system_conf::read_system_conf().map_err(io::Error::other)?;
        ResolverConfig::from_parts(None, Vec::new(), system.name_servers)
    } else {
        ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(|server| at(*server)).collect())
    };
    let mut options = ResolverOpts::default();
    options.timeout = TRY;
    options.attempts = 2;
    options.edns0 = true;
    // Its cache puts answers together from answers to other questions, and loses aliases on the way that a rule may be
    // about.
    options.cache_size = 0;
    options.try_tcp_on_error = true;
    options.preserve_intermediates = true;
    // A forged answer has to guess the letters' case too. What the machine's own file says is ruled on as any answer is.
    options.case_randomization = true;
    options.use_hosts_file = ResolveHosts::Always;
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.with_options(options).build().map_err(io::Error::other)
}

fn at(server: SocketAddr) -> NameServerConfig {
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    let connections = vec![with_port(ConnectionConfig::udp()), with_port(ConnectionConfig::tcp())];
    NameServerConfig::new(server.ip(), true, connections)
}

/// What was answered, and for how long that counts.
fn found(answer: Result<hickory_resolver::lookup::Lookup, NetError>, kind: RecordType) -> (Found, Option<Duration>) {
    let seconds = |ttl: u32| Some(Duration::from_secs(ttl.into()));
    match answer {
        Ok(answer) => {
            let is_kept = |record: &&Record| record.record_type() == kind || record.record_type() == RecordType::CNAME;
            let records: Vec<Record> = answer.answers().iter().filter(is_kept).take(RECORDS_MAX).cloned().collect();
            let lasts = records.iter().map(|record| record.ttl).min().and_then(seconds);
            if records.is_empty() { (Found::Empty, None) } else { (Found::Records(records), lasts) }
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
            let found = if none.response_code == ResponseCode::NXDomain { Found::NoSuchName } else { Found::Empty };
            (found, none.negative_ttl.and_then(seconds))
        }
        Err(_) => (Found::Failed, None),
    }
}

/// The address that a record holds.
pub(crate) fn address_of(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}
