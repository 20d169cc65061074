//! What the tests have around the broker.

use std::collections::HashMap;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use faas_net::protocol::{self, MESSAGE_MAX, NetMessage, Protocol, Refusal, ServerMessage};
use faas_outbound::{Broker, BrokerConfig, HostView, OperatorRules};
use faas_ports::{
    NetworkAccess, NetworkCounters, NetworkDenial, NetworkDevice, NetworkEvent, NetworkLease, NetworkOwner,
    NetworkProcess, NetworkProcesses, Networks, PortError, PortResult,
};
use faas_types::{EgressPolicy, EgressTarget};
use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::MX;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use tokio::sync::{mpsc, watch};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

pub(crate) fn targets(list: &[&str]) -> Vec<EgressTarget> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

pub(crate) fn policy(allow: Option<&[&str]>, deny: &[&str]) -> EgressPolicy {
    EgressPolicy { allow: allow.map(targets), deny: targets(deny), ..EgressPolicy::default() }
}

/// An operator who opens loopback, where the tests' servers are.
pub(crate) fn config(open: &[&str]) -> BrokerConfig {
    let operator = OperatorRules { open: targets(open), ..OperatorRules::default() };
    BrokerConfig { operator, ..BrokerConfig::default() }
}

struct Processes {
    started: mpsc::UnboundedSender<OwnedFd>,
    /// So many starts fail first.
    failures: Arc<AtomicUsize>,
    killed: Arc<AtomicUsize>,
}

impl NetworkProcesses for Processes {
    fn start(&self) -> PortResult<NetworkProcess> {
        let one_less = |left: usize| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            return Err(PortError::failed("starting", "there is no room"));
        }
        let (ours, theirs) = protocol::channel().unwrap();
        self.started.send(theirs).unwrap();
        let killed = Arc::clone(&self.killed);
        let kill = Box::new(move || {
            killed.fetch_add(1, Ordering::Relaxed);
        });
        Ok(NetworkProcess { control: ours, kill })
    }
}

fn null() -> OwnedFd {
    std::fs::File::open("/dev/null").unwrap().into()
}

/// A broker and the ends of the processes that it starts.
pub(crate) struct Lab {
    pub(crate) broker: Broker,
    started: mpsc::UnboundedReceiver<OwnedFd>,
    /// So many starts of processes fail from now on.
    pub(crate) failures: Arc<AtomicUsize>,
    /// So many processes were killed.
    pub(crate) killed: Arc<AtomicUsize>,
}

/// The test's end of a process.
pub(crate) struct Process {
    socket: UnixStream,
    flows: u64,
}

/// An attached instance.
pub(crate) struct Attached {
    pub(crate) lease: Box<dyn NetworkLease>,
    pub(crate) policy: watch::Sender<Arc<EgressPolicy>>,
    pub(crate) counters: Arc<NetworkCounters>,
    events: mpsc::Receiver<NetworkEvent>,
    pub(crate) sandbox: u64,
}

impl Lab {
    pub(crate) fn new(config: BrokerConfig) -> Self {
        let (sender, started) = mpsc::unbounded_channel();
        let (failures, killed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let processes = Processes { started: sender, failures: Arc::clone(&failures), killed: Arc::clone(&killed) };
        Self { broker: Broker::new(config, Arc::new(processes)), started, failures, killed }
    }

    /// The same with answers that count no longer than they say.
    pub(crate) fn forgetful(config: BrokerConfig) -> Self {
        let lab = Self::new(config);
        Self { broker: lab.broker.keeping_names(Duration::ZERO), ..lab }
    }

    /// The same with silent processes that are soon taken for hung.
    pub(crate) fn impatient(config: BrokerConfig) -> Self {
        let lab = Self::new(config);
        Self { broker: lab.broker.with_patience(Duration::from_millis(250)), ..lab }
    }

    /// The process that was started last.
    pub(crate) async fn process(&mut self) -> Process {
        let socket = in_time(self.started.recv()).await.unwrap();
        Process { socket: UnixStream::from_std(socket.into()).unwrap(), flows: 0 }
    }

    pub(crate) async fn attach(&self, policy: EgressPolicy) -> Attached {
        self.attach_of("prj_01ARZ3NDEKTSV4RRFFQ69G5FAV", policy).await
    }

    pub(crate) async fn attach_of(&self, project: &str, policy: EgressPolicy) -> Attached {
        // A file is always ready, as the descriptor of a process is that has ended.
        self.attach_with(project, policy, null()).await
    }

    /// One whose first process is this one.
    pub(crate) async fn attach_living(&self, policy: EgressPolicy) -> Attached {
        let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        self.attach_with("prj_01ARZ3NDEKTSV4RRFFQ69G5FAV", policy, own).await
    }

    async fn attach_with(&self, project: &str, policy: EgressPolicy, process: OwnedFd) -> Attached {
        let device = NetworkDevice { device: null(), process };
        let owner = NetworkOwner {
            project: project.parse().unwrap(),
            function: "f".parse().unwrap(),
            instance: "ins_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
        };
        let (policy, rules) = watch::channel(Arc::new(policy));
        let counters = Arc::new(NetworkCounters::default());
        let access = NetworkAccess { policy: rules, counters: Arc::clone(&counters) };
        let (sender, events) = mpsc::channel(64);
        let lease = in_time(self.broker.attach(device, owner, access, sender)).await.unwrap();
        Attached { lease, policy, counters, events, sandbox: 0 }
    }

    /// One instance and the process that serves it.
    pub(crate) async fn one(config: BrokerConfig, policy: EgressPolicy) -> (Self, Process, Attached) {
        let mut lab = Self::new(config);
        let mut attached = lab.attach(policy).await;
        let mut process = lab.process().await;
        attached.sandbox = process.attached().await;
        (lab, process, attached)
    }
}

impl Process {
    pub(crate) async fn send(&self, message: &NetMessage) {
        loop {
            self.socket.writable().await.unwrap();
            let send = || protocol::send(self.socket.as_fd(), message, &[]);
            match self.socket.try_io(Interest::WRITABLE, send) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                sent => return sent.unwrap(),
            }
        }
    }

    /// The next message that is not about its health; `None` when the server has hung up.
    pub(crate) async fn hear(&self) -> Option<(ServerMessage, Vec<OwnedFd>)> {
        loop {
            match self.hear_anything().await {
                Some((ServerMessage::Ping, _)) => self.send(&NetMessage::Pong).await,
                other => return other,
            }
        }
    }

    /// The next message; `None` when the server has hung up.
    pub(crate) async fn hear_anything(&self) -> Option<(ServerMessage, Vec<OwnedFd>)> {
        let mut buffer = vec![0; MESSAGE_MAX];
        in_time(async {
            loop {
                self.socket.readable().await.unwrap();
                let receive = || protocol::receive(self.socket.as_fd(), &mut buffer);
                match self.socket.try_io(Interest::READABLE, receive) {
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    received => return received.unwrap_or(None),
                }
            }
        })
        .await
    }

    pub(crate) async fn attached(&mut self) -> u64 {
        match self.hear().await {
            Some((ServerMessage::Attach { sandbox, .. }, fds)) if fds.len() == 2 => sandbox,
            other => panic!("not attached: {other:?}"),
        }
    }

    /// Asks for a connection, and gives its number.
    pub(crate) async fn ask(&mut self, sandbox: u64, protocol: Protocol, to: SocketAddr) -> u64 {
        self.flows += 1;
        let flow = self.flows;
        self.send(&NetMessage::Connect { sandbox, flow, protocol, address: to.ip(), port: to.port() }).await;
        flow
    }

    /// Connects, or says why not: the flow, whether names are checked, and the socket.
    pub(crate) async fn connect(
        &mut self,
        sandbox: u64,
        protocol: Protocol,
        to: SocketAddr,
    ) -> Result<(u64, bool, OwnedFd), Refusal> {
        let asked = self.ask(sandbox, protocol, to).await;
        match self.hear().await {
            Some((ServerMessage::Connected { flow, check_name }, mut fds)) if flow == asked => {
                Ok((flow, check_name, fds.pop().unwrap()))
            }
            Some((ServerMessage::Refused { flow, how }, _)) if flow == asked => Err(how),
            other => panic!("no answer to {asked}: {other:?}"),
        }
    }

    pub(crate) async fn tcp(&mut self, sandbox: u64, to: SocketAddr) -> Result<(u64, bool, OwnedFd), Refusal> {
        self.connect(sandbox, Protocol::Tcp, to).await
    }

    /// What is said about a name of a flow.
    pub(crate) async fn name(&self, flow: u64, sni: Option<&str>) -> bool {
        self.send(&NetMessage::Name { flow, sni: sni.map(str::to_owned) }).await;
        match self.hear().await {
            Some((ServerMessage::Named { flow: of, allowed }, _)) if of == flow => allowed,
            other => panic!("no word on {flow}: {other:?}"),
        }
    }

    pub(crate) async fn raw_query(&self, sandbox: u64, bytes: Vec<u8>, over_tcp: bool) -> Vec<u8> {
        self.send(&NetMessage::Resolve { sandbox, query: 7, bytes, over_tcp }).await;
        match self.hear().await {
            Some((ServerMessage::Answered { query: 7, bytes }, _)) => bytes,
            other => panic!("no answer: {other:?}"),
        }
    }

    pub(crate) async fn query(&self, sandbox: u64, name: &str, kind: RecordType) -> Message {
        let bytes = self.raw_query(sandbox, question(name, kind), false).await;
        Message::from_vec(&bytes).unwrap()
    }

    /// The addresses that a name has for a sandbox.
    pub(crate) async fn look_up(&self, sandbox: u64, name: &str) -> Vec<IpAddr> {
        let answer = self.query(sandbox, name, RecordType::A).await;
        answer.answers.iter().filter_map(|record| record.data.ip_addr()).collect()
    }
}

impl Attached {
    pub(crate) async fn event(&mut self) -> NetworkEvent {
        in_time(self.events.recv()).await.unwrap()
    }

    pub(crate) async fn denial(&mut self) -> NetworkDenial {
        match self.event().await {
            NetworkEvent::Denied(denial) => denial,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn is_quiet(&mut self) -> bool {
        self.events.try_recv().is_err()
    }

    /// Whether nothing more was told; what was is added to `told`.
    pub(crate) fn is_quiet_but(&mut self, told: &mut Vec<NetworkDenial>) -> bool {
        match self.events.try_recv() {
            Ok(NetworkEvent::Denied(denial)) => told.push(denial),
            Ok(_) => {}
            Err(_) => return true,
        }
        false
    }
}

pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, what).await.expect("this takes no time")
}

pub(crate) fn question(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.to_vec().unwrap()
}

/// A name server with the answers that a test gives it.
#[derive(Clone)]
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<HashMap<String, Vec<RData>>>>,
    asked: Arc<AtomicUsize>,
    /// How long its answers count, in seconds. Nobody keeps those of 0: each look-up comes here.
    ttl: Arc<AtomicU32>,
    /// Whether an alias is answered without what it leads to.
    is_split: Arc<AtomicBool>,
}

impl NameServer {
    pub(crate) async fn start() -> Self {
        let (listener, socket) = loop {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
                break (listener, socket);
            }
        };
        let server = Self {
            address: socket.local_addr().unwrap(),
            zone: Arc::default(),
            asked: Arc::default(),
            ttl: Arc::default(),
            is_split: Arc::default(),
        };
        let of = server.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 1_500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let answer = Message::from_vec(&of.answer(&buffer[..length])).unwrap();
                // What is long is asked for again over TCP.
                let is_long = answer.queries[0].name().to_ascii().to_ascii_lowercase().starts_with("long.");
                let answer = if is_long { answer.truncate() } else { answer };
                let _ = socket.send_to(&answer.to_vec().unwrap(), from).await;
            }
        });
        let of = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(of.clone().serve(stream));
            }
        });
        server
    }

    async fn serve(self, mut stream: TcpStream) {
        while let Ok(length) = stream.read_u16().await {
            let mut query = vec![0; length.into()];
            stream.read_exact(&mut query).await.unwrap();
            let answer = self.answer(&query);
            stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    }

    fn answer(&self, bytes: &[u8]) -> Vec<u8> {
        let query = Message::from_vec(bytes).unwrap();
        // The resolver itself asks how the site translates addresses.
        if !query.queries[0].name().to_ascii().eq_ignore_ascii_case("ipv4only.arpa.") {
            self.asked.fetch_add(1, Ordering::SeqCst);
        }
        let mut answer = Message::response(query.metadata.id, OpCode::Query);
        answer.metadata.recursion_available = true;
        answer.add_query(query.queries[0].clone());
        let zone = self.zone.lock();
        let mut name = query.queries[0].name().clone();
        let mut found = false;
        while let Some(data) = zone.get(&name.to_ascii().to_ascii_lowercase()) {
            found = true;
            let ttl = self.ttl.load(Ordering::SeqCst);
            let is_asked =
                |data: &&RData| [query.queries[0].query_type(), RecordType::CNAME].contains(&data.record_type());
            let records = data.iter().filter(is_asked);
            answer.add_answers(records.map(|data| Record::from_rdata(name.clone(), ttl, data.clone())));
            match data.first() {
                Some(RData::CNAME(target)) if !self.is_split.load(Ordering::SeqCst) => name = target.0.clone(),
                _ => break,
            }
        }
        if !found {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        answer.to_vec().unwrap()
    }

    /// Answers that count for some seconds from now on, whole or one name at a time.
    pub(crate) fn keep_for(&self, seconds: u32, is_split: bool) {
        self.ttl.store(seconds, Ordering::SeqCst);
        self.is_split.store(is_split, Ordering::SeqCst);
    }

    /// The view of a machine that asks this one.
    pub(crate) fn view(&self) -> Arc<HostView> {
        Arc::new(HostView::new(vec![self.address], Default::default()))
    }

    /// Gives a name its addresses; text that is no address is an alias.
    pub(crate) fn set(&self, name: &str, to: &[&str]) {
        let data = |text: &&str| match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => RData::A(address.into()),
            Ok(IpAddr::V6(address)) => RData::AAAA(address.into()),
            Err(_) => RData::CNAME(hickory_resolver::proto::rr::rdata::CNAME(Name::from_ascii(text).unwrap())),
        };
        self.zone.lock().insert(format!("{name}."), to.iter().map(data).collect());
    }

    /// Gives a name hosts that take its mail.
    pub(crate) fn set_mail(&self, name: &str, hosts: &[String]) {
        let data = |host: &String| RData::MX(MX::new(1, Name::from_ascii(format!("{host}.")).unwrap()));
        self.zone.lock().insert(format!("{name}."), hosts.iter().map(data).collect());
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Listens, and counts who came.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    listener: std::net::TcpListener,
}

impl Listener {
    pub(crate) fn start(ip: &str) -> Self {
        let listener = std::net::TcpListener::bind((ip, 0)).unwrap();
        Self { address: listener.local_addr().unwrap(), listener }
    }

    /// What the other end of this socket, which is closed now, had said.
    pub(crate) fn hears(&self, socket: OwnedFd, text: &str) -> bool {
        let stream = std::net::TcpStream::from(socket);
        stream.set_nonblocking(false).unwrap();
        std::io::Write::write_all(&mut &stream, text.as_bytes()).unwrap();
        drop(stream);
        let (mut heard, mut buffer) = (self.listener.accept().unwrap().0, String::new());
        heard.read_to_string(&mut buffer).unwrap();
        buffer == text
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.listener.set_nonblocking(true).unwrap();
        self.listener.accept().is_err()
    }
}
