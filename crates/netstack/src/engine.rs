//! One TCP connection with a program in the sandbox: smoltcp with one interface and one socket.
//!
//! The interface has the far end's address, so that the program talks to it. A panic within smoltcp ends the connection
//! and nothing else.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use self_cell::{MutBorrow, self_cell};
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpListenEndpoint};

use crate::frame::{self, DEVICE_HEADER, MTU};
use crate::memory::Rings;
use crate::output::{Ending, StackOutput};

/// Packets that one flush sends: with small segments a window is thousands of them, and others wait.
const PACKETS_A_FLUSH: usize = 16;
/// A connection without packets is asked whether it is there; this also brings back a window that got lost.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// No answer for so long ends the connection.
const NO_ANSWER: Duration = Duration::from_secs(120);
/// How long an end that both sides have reached is confirmed again.
const LINGER: Duration = Duration::from_secs(5);
/// Timers are not looked at more often.
const GRANULARITY: Duration = Duration::from_millis(1);

/// A connection.
pub(crate) struct Engine {
    cell: Cell,
    /// The far end sends no more.
    finished: bool,
    /// The program sends no more.
    fin_seen: bool,
    panicked: bool,
    lingers_since: Option<Duration>,
}

self_cell!(
    struct Cell {
        owner: MutBorrow<Rings>,
        #[not_covariant]
        dependent: Tcp,
    }
);

struct Tcp<'a> {
    interface: Interface,
    sockets: SocketSet<'a>,
    socket: SocketHandle,
}

/// The device that smoltcp sees: one packet in, any number out.
struct Device<'d, O> {
    received: Option<&'d [u8]>,
    output: &'d mut O,
}

struct Received<'d>(&'d [u8]);

struct Sending<'d, O>(&'d mut O);

// === impl Engine ===

impl Engine {
    /// Takes a connection that a segment opens; `None` when the segment is not acceptable.
    pub(crate) fn accept(
        rings: Rings,
        target: SocketAddr,
        syn: &[u8],
        seed: u64,
        now: Duration,
        output: &mut impl StackOutput,
    ) -> Option<Self> {
        let building =
            AssertUnwindSafe(|| Cell::new(MutBorrow::new(rings), |rings| tcp(rings, target, seed, now, output)));
        let cell = catch_unwind(building).ok()?;
        let mut engine = Self { cell, finished: false, fin_seen: false, panicked: false, lingers_since: None };
        engine.input(syn, now, output);
        engine.flush(now, output);
        engine.over().is_none().then_some(engine)
    }

    /// Takes in a packet of the connection. What there is to answer goes out with the next flush.
    pub(crate) fn input(&mut self, packet: &[u8], now: Duration, output: &mut impl StackOutput) {
        self.guarded((), |tcp| {
            let mut device = Device { received: Some(packet), output };
            tcp.interface.poll_ingress_single(instant(now), &mut device, &mut tcp.sockets);
        });
        self.observe(now);
    }

    /// Sends what is due. Returns whether there is more than one flush sends.
    pub(crate) fn flush(&mut self, now: Duration, output: &mut impl StackOutput) -> bool {
        // smoltcp forgets what was received when it stops to linger; the far end may not have taken all of it.
        if self.lingers_since.is_some_and(|since| now >= since + LINGER) {
            return false;
        }
        let more = self.guarded(false, |tcp| {
            let mut device = Device { received: None, output };
            let mut emits = || tcp.interface.poll_egress(instant(now), &mut device, &mut tcp.sockets);
            (0..PACKETS_A_FLUSH).all(|_| emits() == PollResult::SocketStateChanged)
        });
        self.observe(now);
        more
    }

    /// Offers bytes that the program sent; `take` says how many it took. Returns that number.
    pub(crate) fn read(&mut self, take: impl FnOnce(&[u8]) -> usize) -> usize {
        self.guarded(0, |tcp| {
            let socket = tcp.socket();
            if !socket.can_recv() {
                return 0;
            }
            let taking = |bytes: &mut [u8]| {
                let taken = take(bytes).min(bytes.len());
                (taken, taken)
            };
            socket.recv(taking).unwrap_or(0)
        })
    }

    /// Looks at bytes that the program sent, so far as they lie in one piece.
    pub(crate) fn peek<R>(&mut self, look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.guarded(None, |tcp| tcp.socket().peek(usize::MAX).ok().map(look))
    }

    /// Whether nothing that was received waits, or no more fits.
    pub(crate) fn receives(&mut self) -> Receiving {
        self.guarded(Receiving { waiting: 0, full: false }, |tcp| {
            let socket = tcp.socket();
            let waiting = socket.recv_queue();
            Receiving { waiting, full: waiting == socket.recv_capacity() }
        })
    }

    /// Whether something that was received waits to be taken.
    pub(crate) fn has_waiting(&mut self) -> bool {
        self.receives().waiting > 0
    }

    /// Offers room for bytes of the far end; `fill` says how many it wrote. Returns that number.
    pub(crate) fn write(&mut self, fill: impl FnOnce(&mut [u8]) -> usize) -> usize {
        self.guarded(0, |tcp| {
            let socket = tcp.socket();
            if !socket.can_send() {
                return 0;
            }
            let filling = |room: &mut [u8]| {
                let filled = fill(room).min(room.len());
                (filled, filled)
            };
            socket.send(filling).unwrap_or(0)
        })
    }

    /// Bytes of the far end that fit now.
    pub(crate) fn room(&mut self) -> usize {
        self.guarded(0, |tcp| {
            let socket = tcp.socket();
            if socket.may_send() { socket.send_capacity() - socket.send_queue() } else { 0 }
        })
    }

    /// Whether bytes or the end of the far end are on their way to the program.
    pub(crate) fn has_unsent(&mut self) -> bool {
        self.finished || self.guarded(true, |tcp| !tcp.socket().is_open() || tcp.socket().send_queue() > 0)
    }

    /// The far end sends no more.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
        self.guarded((), |tcp| tcp.socket().close());
    }

    /// Resets the connection; the next flush says so.
    pub(crate) fn abort(&mut self) {
        self.guarded((), |tcp| tcp.socket().abort());
    }

    /// Whether the program has answered the first answer.
    pub(crate) fn is_established(&mut self) -> bool {
        self.guarded(false, |tcp| !matches!(tcp.socket().state(), tcp::State::Listen | tcp::State::SynReceived))
    }

    /// Whether the program sends no more, and all that it sent was taken.
    pub(crate) fn is_drained(&mut self) -> bool {
        self.fin_seen && !self.has_waiting()
    }

    /// Whether one of the two sides sends no more.
    pub(crate) fn is_half_closed(&self) -> bool {
        self.finished || self.fin_seen
    }

    /// How the connection ended, once it has and nothing waits to be taken.
    pub(crate) fn over(&mut self) -> Option<Ending> {
        if self.panicked {
            return Some(Ending::Reset);
        }
        let (state, waiting) = self.guarded((tcp::State::Closed, 0), |tcp| {
            let socket = tcp.socket();
            (socket.state(), socket.recv_queue())
        });
        match state {
            tcp::State::Closed | tcp::State::TimeWait if self.finished && self.fin_seen => {
                (waiting == 0).then_some(Ending::Clean)
            }
            // A reset before it was established puts the socket back.
            tcp::State::Closed | tcp::State::TimeWait | tcp::State::Listen => Some(Ending::Reset),
            _ => None,
        }
    }

    /// What it received into and sent from.
    pub(crate) fn into_rings(self) -> Rings {
        self.cell.into_owner().into_inner()
    }

    pub(crate) fn has_panicked(&self) -> bool {
        self.panicked
    }

    /// When a flush is due without anything else happening.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Duration> {
        if self.lingers_since.is_some() {
            return None;
        }
        let due = self.guarded(None, |tcp| tcp.interface.poll_at(instant(now), &tcp.sockets))?;
        Some(Duration::from_micros(due.total_micros().unsigned_abs()).max(now + GRANULARITY))
    }

    fn observe(&mut self, now: Duration) {
        let state = self.guarded(tcp::State::Closed, |tcp| tcp.socket().state());
        self.fin_seen |=
            matches!(state, tcp::State::CloseWait | tcp::State::LastAck | tcp::State::Closing | tcp::State::TimeWait);
        if state == tcp::State::TimeWait && self.lingers_since.is_none() {
            self.lingers_since = Some(now);
        }
    }

    /// Works with smoltcp. After a panic nothing does any more.
    fn guarded<R>(&mut self, otherwise: R, work: impl FnOnce(&mut Tcp<'_>) -> R) -> R {
        if self.panicked {
            return otherwise;
        }
        let cell = &mut self.cell;
        let working = AssertUnwindSafe(|| cell.with_dependent_mut(|_, tcp| work(tcp)));
        catch_unwind(working).unwrap_or_else(|_| {
            self.panicked = true;
            otherwise
        })
    }
}

/// What waits to be taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receiving {
    pub(crate) waiting: usize,
    /// The program cannot send more.
    pub(crate) full: bool,
}

fn tcp<'a>(
    rings: &'a MutBorrow<Rings>,
    target: SocketAddr,
    seed: u64,
    now: Duration,
    output: &mut impl StackOutput,
) -> Tcp<'a> {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let address = IpAddress::from(target.ip());
    let mut interface = Interface::new(config, &mut Device { received: None, output }, instant(now));
    // The whole world is its subnet, so that it needs no routes.
    interface.update_ip_addrs(|addresses| {
        // The list is empty, and there is room for two.
        let _ = addresses.push(IpCidr::new(address, 0));
    });
    let rings = rings.borrow_mut();
    let (receiving, sending) = (&mut rings.receiving[..], &mut rings.sending[..]);
    let mut socket = tcp::Socket::new(tcp::SocketBuffer::new(receiving), tcp::SocketBuffer::new(sending));
    socket.set_nagle_enabled(false);
    // One answer goes out for all packets that came in before it.
    socket.set_ack_delay(None);
    socket.set_keep_alive(Some(KEEP_ALIVE.into()));
    socket.set_timeout(Some(NO_ANSWER.into()));
    // Fails for port 0 alone; the socket then stays closed, and the connection is over.
    let _ = socket.listen(IpListenEndpoint { addr: Some(address), port: target.port() });
    let mut sockets = SocketSet::new(Vec::with_capacity(1));
    let socket = sockets.add(socket);
    Tcp { interface, sockets, socket }
}

fn instant(now: Duration) -> Instant {
    Instant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

// === impl Tcp ===

impl<'a> Tcp<'a> {
    fn socket(&mut self) -> &mut tcp::Socket<'a> {
        self.sockets.get_mut(self.socket)
    }
}

// === impl Device ===

impl<O: StackOutput> phy::Device for Device<'_, O> {
    type RxToken<'a>
        = Received<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Sending<'a, O>
    where
        Self: 'a;

    fn receive(&mut self, _now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        Some((Received(self.received.take()?), Sending(self.output)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Self::TxToken<'_>> {
        Some(Sending(self.output))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities.checksum.tcp = Checksum::None;
        capabilities
    }
}

// === impl Received ===

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

// === impl Sending ===

impl<O: StackOutput> phy::TxToken for Sending<'_, O> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        self.0.transmit(DEVICE_HEADER + length, |frame| {
            let result = write(&mut frame[DEVICE_HEADER..]);
            frame::leave_checksum(frame);
            result
        })
    }
}
