//! A network process, sandboxes of a kind, far ends and a broker between them.

use std::io::{BufRead, BufReader, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use faas_net::protocol::{SandboxConnection, channel};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;

use crate::broker::Broker;
use crate::far::Far;

/// The number of the sandbox that most checks use.
pub(crate) const SANDBOX: u64 = 7;
const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/guest.py");

pub(crate) struct Lab {
    pub(crate) broker: Broker,
    pub(crate) far: Far,
    pub(crate) guest: Guest,
    net: Ended,
}

/// A Python in namespaces of its own, with a device.
pub(crate) struct Guest {
    process: Ended,
    channel: UnixStream,
    lines: BufReader<UnixStream>,
    pub(crate) device: OwnedFd,
    pub(crate) pidfd: OwnedFd,
}

/// A process that ends with the test.
struct Ended(Child);

// === impl Lab ===

impl Lab {
    pub(crate) fn new() -> Result<Self> {
        Self::with_files(None)
    }

    /// A lab whose network process may open at most this many files.
    pub(crate) fn with_files(most: Option<u64>) -> Result<Self> {
        let (ours, theirs) = channel()?;
        let mut net = Command::new(std::env::current_exe()?);
        net.arg("__net").args(most.map(|most| most.to_string()));
        let net = Ended(net.stdin(Stdio::from(theirs)).spawn()?);
        let (broker, guest) = (Broker::new(ours), Guest::new()?);
        let mut lab = Self { broker, far: Far::new()?, guest, net };
        lab.broker.until("its first word", |seen| seen.is_ready)?;
        lab.broker.attach(SANDBOX, &lab.guest.device, &lab.guest.pidfd)?;
        // It is attached when something answers.
        lab.ask("refused", &[Value::from("192.0.0.1"), Value::from(1)])?;
        Ok(lab)
    }

    /// Has the guest do something; its answer.
    pub(crate) fn ask(&mut self, what: &str, arguments: &[Value]) -> Result<Value> {
        self.guest.ask(what, arguments)
    }

    /// Bytes of memory that the network process holds.
    pub(crate) fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.net.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }

    /// Processor time of the network process, in ticks of a hundredth of a second.
    pub(crate) fn ticks(&self) -> Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.net.0.id()))?;
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |n: usize| fields.get(n).and_then(|field| field.parse::<u64>().ok()).context("a number");
        Ok(field(11)? + field(12)?)
    }

    /// Descriptors that the network process holds.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.net.0.id()))?.count())
    }

    pub(crate) fn end_net(&mut self) -> Result<()> {
        self.net.0.kill()?;
        self.net.0.wait()?;
        Ok(())
    }
}

// === impl Guest ===

impl Guest {
    pub(crate) fn new() -> Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(Duration::from_secs(120)))?;
        let python = if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" };
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--mount", "--", python, "-I", GUEST]);
        let process = Ended(unshare.stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?);
        let device = receive_device(&ours).context("no device came: the guest could not make one")?;
        let id = Pid::from_child(&process.0);
        let pidfd = pidfd_open(id, PidfdFlags::empty())?;
        Ok(Self { process, lines: BufReader::new(ours.try_clone()?), channel: ours, device, pidfd })
    }

    pub(crate) fn ask(&mut self, what: &str, arguments: &[Value]) -> Result<Value> {
        self.begin(what, arguments)?;
        self.answer()
    }

    /// Asks without waiting.
    pub(crate) fn begin(&mut self, what: &str, arguments: &[Value]) -> Result<()> {
        let all: Vec<_> = std::iter::once(Value::from(what)).chain(arguments.iter().cloned()).collect();
        Ok(writeln!(self.channel, "{}", Value::from(all))?)
    }

    pub(crate) fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        let mut answer: Value = serde_json::from_str(&line).context("the guest has ended")?;
        if let Some(failed) = answer.get("failed") {
            bail!("the guest failed: {}", failed.as_str().unwrap_or_default());
        }
        Ok(answer["ok"].take())
    }

    /// What its kernel shows of IPv4 connections that are established.
    pub(crate) fn connections(&self) -> Result<Vec<SandboxConnection>> {
        let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", self.process.0.id()))?;
        let end = |text: &str| -> Option<(Ipv4Addr, u16)> {
            let (address, port) = text.split_once(':')?;
            let address = u32::from_str_radix(address, 16).ok()?.to_ne_bytes();
            Some((Ipv4Addr::from(address), u16::from_str_radix(port, 16).ok()?))
        };
        let connection = |line: &str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let ((source, source_port), (address, port)) = (end(fields.get(1)?)?, end(fields.get(2)?)?);
            let established = fields.get(3) == Some(&"01");
            established.then_some(SandboxConnection {
                source: source.into(),
                source_port,
                address: address.into(),
                port,
            })
        };
        Ok(table.lines().skip(1).filter_map(connection).collect())
    }

    /// Freezes its programs.
    pub(crate) fn stop(&self) -> Result<()> {
        Ok(pidfd_send_signal(&self.pidfd, Signal::STOP)?)
    }

    pub(crate) fn go_on(&self) -> Result<()> {
        Ok(pidfd_send_signal(&self.pidfd, Signal::CONT)?)
    }

    pub(crate) fn end(&mut self) -> Result<()> {
        self.process.0.kill()?;
        self.process.0.wait()?;
        Ok(())
    }
}

fn receive_device(channel: &UnixStream) -> Result<OwnedFd> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(channel, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    control
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        })
        .context("no descriptor")
}

// === impl Ended ===

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
