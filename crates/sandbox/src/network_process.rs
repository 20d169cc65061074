//! The process that speaks TCP, UDP and DNS for sandboxes: this program again, so confined that it can only use the
//! descriptors that the server sends to it.
//!
//! It parses what strangers send. So it is another user than the server where that is root, in namespaces of its own
//! without any interface, with no capability, no file, no program to start and no way to make a socket. Its end costs
//! connections and nothing else; the kernel ends it with the server.

mod words;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use faas_ports::{NetworkProcess, NetworkProcesses, PortError, PortResult};
use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, Scope};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, Signal, getrlimit, pidfd_open, pidfd_send_signal,
    set_dumpable_behavior, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{Gid, Uid, UnshareFlags, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::child::{drop_capabilities, keep_over_setuid};
use crate::config::SpawnerCommand;
use crate::spawner::NETWORK_USER;
use crate::{seccomp, sys};

/// What programs call the user that owns nothing; for containers that have few users.
const NOBODY: u32 = 65_534;
/// Bytes of memory; what its connections need is bounded by itself far below.
const MEMORY: u64 = 4 << 30;
/// When the machine runs out of memory, it goes before the server does.
const EXPENDABLE: &str = "500";
/// How long it may take until its first word.
const START: Duration = Duration::from_secs(10);
/// How long its end may take once its socket has hung up.
const END: Duration = Duration::from_secs(2);

/// Starts processes that speak for sandboxes.
#[derive(Clone, Debug)]
pub struct LinuxNetworkProcesses {
    command: SpawnerCommand,
}

// === impl LinuxNetworkProcesses ===

impl LinuxNetworkProcesses {
    /// By a program that calls [`network_main`] before anything else when it is started by this command.
    #[must_use]
    pub fn new(command: SpawnerCommand) -> Self {
        Self { command }
    }
}

impl NetworkProcesses for LinuxNetworkProcesses {
    fn start(&self) -> PortResult<NetworkProcess> {
        let start = || -> io::Result<NetworkProcess> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
            let started = spawn(&self.command, theirs)?;
            match first_word(&ours) {
                Ok(()) => Ok(NetworkProcess { control: ours, kill: Box::new(move || started.kill()) }),
                Err(error) => Err(started.failed(&error)),
            }
        };
        start().map_err(|error| PortError::failed("starting the process of functions' network", error))
    }
}

/// A process and the thread that waits for its end.
struct Started {
    process: OwnedFd,
    ended: mpsc::Receiver<(io::Result<ExitStatus>, String)>,
}

impl Started {
    fn kill(&self) {
        // It may have ended already.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }

    /// Why it does not serve, in its own words where it has left some.
    fn failed(self, error: &io::Error) -> io::Error {
        self.kill();
        match self.ended.recv_timeout(END) {
            Ok((_, words)) if !words.is_empty() => io::Error::other(format!("{error}: {words}")),
            Ok((Ok(status), _)) => io::Error::other(format!("{error}: {status}")),
            _ => io::Error::other(error.to_string()),
        }
    }
}

/// Waits until something can be read, and leaves it.
fn first_word(control: &OwnedFd) -> io::Result<()> {
    let deadline = Instant::now() + START;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(control, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(io::Error::other("it does not get ready")),
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match recv(control, &mut [0; 1][..], RecvFlags::PEEK | RecvFlags::TRUNC) {
        Ok((_, 1..)) => Ok(()),
        Ok(_) | Err(_) => Err(io::Error::other("it has ended before it was ready")),
    }
}

/// The kernel ends the process with the thread that started it, so that thread waits for its end, and takes down what it
/// says meanwhile.
fn spawn(command: &SpawnerCommand, socket: OwnedFd) -> io::Result<Started> {
    let (told, started) = mpsc::channel();
    let (tells_end, ended) = mpsc::channel();
    let mut process = Command::new(&command.program);
    process.arg0("faas-net").args(&command.args).env_clear().current_dir("/");
    process.stdin(Stdio::from(socket)).stdout(Stdio::null()).stderr(Stdio::piped());
    std::thread::Builder::new().name("net-reaper".to_owned()).spawn(move || {
        let child = process.spawn();
        // The command holds the socket's other end; as long as it lives, no end of file would be seen.
        drop(process);
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return drop(told.send(Err(error))),
        };
        let id = Pid::from_child(&child);
        // Nobody else waits for it, so that its number is its own.
        let _ = told.send(pidfd_open(id, PidfdFlags::empty()).map_err(Into::into));
        let last = child.stderr.take().map(words::take_down).unwrap_or_default();
        let status = child.wait();
        if let Some(status) = status.as_ref().ok().filter(|status| !status.success()) {
            tracing::warn!(%status, "the network process has not ended by itself");
        }
        let _ = tells_end.send((status, last));
    })?;
    let process = started.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
    Ok(Started { process, ended })
}

/// Becomes that process and runs `run` on its control socket, which does not block. A program that is given to
/// [`LinuxNetworkProcesses::new`] calls this first, before it starts a thread or opens a file; descriptor 0 is the socket.
/// Returns only as an exit of the process.
pub fn network_main(run: fn(OwnedFd) -> io::Result<()>) -> ! {
    let outcome = confine().and_then(run);
    if let Err(error) = &outcome {
        // The server's log.
        let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("faas-net ends: {error}\n"));
    }
    std::process::exit(i32::from(outcome.is_err()))
}

fn confine() -> io::Result<OwnedFd> {
    let control = take_control()?;
    // The terminal's and the init system's signals are for the server.
    let _ = rustix::process::setsid();
    sys::reset_signals();
    sys::set_signals(&sys::IGNORED, true);
    // A process that may not raise it keeps the server's.
    let _ = std::fs::write("/proc/self/oom_score_adj", EXPENDABLE);
    sys::allow_many_files();
    sys::forbid_core_dumps();
    step("limiting memory", limit())?;
    step("becoming another user", become_another_user())?;
    step("entering namespaces", enter_namespaces())?;
    step("dropping capabilities", drop_capabilities())?;
    step("giving up privileges", rustix::thread::set_no_new_privs(true).map_err(Into::into))?;
    step("closing files", close_files().map_err(io::Error::other))?;
    // Changing the user has switched both off or on.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    step("installing the filter", sys::install_filter(&seccomp::network_program()))?;
    Ok(control)
}

/// Names what did not work.
fn step<T>(what: &str, outcome: io::Result<T>) -> io::Result<T> {
    outcome.map_err(|error| io::Error::other(format!("{what}: {error}")))
}

/// Keeps the socket and standard error: a panic should be seen.
fn take_control() -> io::Result<OwnedFd> {
    let control = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for number in [0, 1] {
        sys::dup_onto(null.as_fd(), number)?;
    }
    drop(null);
    let control_number = std::os::fd::AsRawFd::as_raw_fd(&control) as u32;
    sys::close_range(3, control_number - 1)?;
    sys::close_range(control_number + 1, u32::MAX)?;
    Ok(control)
}

fn limit() -> io::Result<()> {
    let most = getrlimit(Resource::Data).maximum.map_or(MEMORY, |known| known.min(MEMORY));
    Ok(setrlimit(Resource::Data, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// As root: becomes a user that owns no files and runs no other process. Keeps the capabilities that the next steps need.
fn become_another_user() -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    keep_over_setuid()?;
    // Where that is forbidden, there are no groups to lose.
    let _ = set_thread_groups(&[]);
    let become_user = |id: u32| {
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        set_thread_res_gid(gid, gid, gid).and_then(|()| set_thread_res_uid(uid, uid, uid))
    };
    Ok(become_user(NETWORK_USER).or_else(|_| become_user(NOBODY))?)
}

/// A network without interfaces, no user and nothing else of the host's: what it was given keeps the host's network.
fn enter_namespaces() -> io::Result<()> {
    let all = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    // SAFETY: this process has one thread, and none of these namespaces has an effect on memory or descriptors.
    Ok(unsafe { rustix::thread::unshare_unsafe(all) }?)
}

/// No file at all, as far as this kernel can. The filter has no call that opens one either.
fn close_files() -> Result<(), landlock::RulesetError> {
    const LANDLOCK: ABI = ABI::V6;
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    ruleset.restrict_self().map(drop)
}
