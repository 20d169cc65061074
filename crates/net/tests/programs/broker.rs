//! What the server does for the network process, for tests: every address leads to the loopback interface of the machine.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use faas_net::protocol::{
    Gone, Limits, MESSAGE_MAX, NetMessage, Protocol, Refusal, ServerMessage, Usage, receive_packet, send,
};
use rustix::event::{PollFd, PollFlags, poll};

/// Addresses that are refused, each in its way.
const DENIED: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const DENIED_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));
const UNREACHABLE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const TIMED_OUT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3));
/// Where the server never says what became of it.
const SILENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
/// Where the name in a ClientHello counts.
const BY_NAME: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 4));
/// What every name leads to.
const ANSWER: [u8; 4] = [93, 184, 216, 34];

/// Answers a network process.
pub(crate) struct Broker {
    control: Arc<OwnedFd>,
    seen: Arc<Mutex<Seen>>,
}

/// What the network process has said.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connects: Vec<(u64, u64, IpAddr)>,
    pub(crate) closed: HashMap<u64, (u64, u64)>,
    pub(crate) names: Vec<Option<String>>,
    pub(crate) queries: usize,
    pub(crate) usage: HashMap<u64, Usage>,
    pub(crate) gone: Vec<u64>,
    pub(crate) not_attached: Vec<u64>,
    pub(crate) is_ready: bool,
}

impl Broker {
    pub(crate) fn new(control: OwnedFd) -> Self {
        let (control, seen) = (Arc::new(control), Arc::new(Mutex::new(Seen::default())));
        let broker = Self { control: Arc::clone(&control), seen: Arc::clone(&seen) };
        thread::spawn(move || {
            let mut buffer = vec![0; MESSAGE_MAX];
            while let Some(messages) = next(&control, &mut buffer) {
                messages.into_iter().for_each(|message| answer(&control, message, &mut lock(&seen)));
            }
        });
        broker
    }

    pub(crate) fn attach(&self, sandbox: u64, device: &OwnedFd, process: &OwnedFd) -> Result<()> {
        self.attach_within(Limits::default(), (sandbox, sandbox), device, process)
    }

    pub(crate) fn attach_within(
        &self,
        limits: Limits,
        (sandbox, project): (u64, u64),
        device: &OwnedFd,
        process: &OwnedFd,
    ) -> Result<()> {
        let message = ServerMessage::Attach { sandbox, project, limits };
        Ok(send(self.control.as_fd(), &message, &[device.as_fd(), process.as_fd()])?)
    }

    pub(crate) fn say(&self, message: &ServerMessage) -> Result<()> {
        Ok(send(self.control.as_fd(), message, &[])?)
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Waits until something was said.
    pub(crate) fn until(&self, what: &str, done: impl Fn(&Seen) -> bool) -> Result<()> {
        let begun = Instant::now();
        while !done(&self.seen()) {
            if begun.elapsed() > Duration::from_secs(60) {
                bail!("never came: {what}");
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next(control: &OwnedFd, buffer: &mut [u8]) -> Option<Vec<NetMessage>> {
    loop {
        match receive_packet(control.as_fd(), buffer) {
            Ok(messages) => return messages,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(control, PollFlags::IN)], None).ok()?;
            }
            Err(_) => return None,
        }
    }
}

fn answer(control: &OwnedFd, message: NetMessage, seen: &mut Seen) {
    let (reply, socket) = match message {
        NetMessage::Connect { sandbox, flow, protocol, address, port } => {
            seen.connects.push((sandbox, flow, address));
            if address == SILENT {
                return;
            }
            match connect(protocol, address, port) {
                Ok(socket) => (ServerMessage::Connected { flow, check_name: address == BY_NAME }, Some(socket)),
                Err(how) => (ServerMessage::Refused { flow, how }, None),
            }
        }
        NetMessage::Resolve { query, bytes, .. } => {
            seen.queries += 1;
            (ServerMessage::Answered { query, bytes: resolve(&bytes) }, None)
        }
        NetMessage::Name { flow, sni } => {
            let allowed = sni.as_deref() == Some("good.example");
            seen.names.push(sni);
            (ServerMessage::Named { flow, allowed }, None)
        }
        NetMessage::Closed { flow, up, down } => {
            seen.closed.insert(flow, (up, down));
            return;
        }
        NetMessage::Usage { sandbox, usage } => {
            seen.usage.insert(sandbox, usage);
            return;
        }
        NetMessage::Gone { sandbox, why } => {
            match why {
                Gone::NotAttached => seen.not_attached.push(sandbox),
                Gone::Ended | Gone::DeviceLost => seen.gone.push(sandbox),
            }
            return;
        }
        NetMessage::Ready => {
            seen.is_ready = true;
            return;
        }
        NetMessage::Pong => return,
    };
    let descriptors: Vec<_> = socket.iter().map(AsFd::as_fd).collect();
    // The network process may have ended.
    let _ = send(control.as_fd(), &reply, &descriptors);
}

fn connect(protocol: Protocol, address: IpAddr, port: u16) -> Result<OwnedFd, Refusal> {
    match address {
        DENIED | DENIED_V6 => return Err(Refusal::Denied),
        UNREACHABLE => return Err(Refusal::Unreachable),
        TIMED_OUT => return Err(Refusal::TimedOut),
        _ => {}
    }
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let socket = match protocol {
        Protocol::Tcp => TcpStream::connect(target).and_then(|stream| {
            stream.set_nodelay(true)?;
            Ok(OwnedFd::from(stream))
        }),
        Protocol::Udp => UdpSocket::bind("127.0.0.1:0").and_then(|socket| {
            socket.connect(target)?;
            Ok(OwnedFd::from(socket))
        }),
    };
    socket.map_err(|_| Refusal::Refused)
}

/// One address for questions about `A`, none for others.
fn resolve(query: &[u8]) -> Vec<u8> {
    let end = query[12..].iter().position(|byte| *byte == 0).map_or(query.len(), |end| 12 + end + 5);
    let about_v4 = query[end - 3] == 1;
    let mut answer = query[..end].to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(about_v4), 0, 0, 0, 0]);
    if about_v4 {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(ANSWER);
    }
    answer
}
