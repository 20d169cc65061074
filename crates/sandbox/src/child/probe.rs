//! Tries from the inside what a sandbox must not be able to do.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use faas_types::Feature;
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process};
use serde::{Deserialize, Serialize};

use super::INSIDE_ID;
use crate::limits::Limits;
use crate::packet::send_bytes;
use crate::probe_targets::ProbeTargets;
use crate::sys;

/// The outcome of one attempt: what was seen, as a fault when the sandbox did not hold.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub(crate) feature: Feature,
    pub(crate) outcome: Result<String, String>,
}

type Outcome = Result<String, String>;

/// Tries everything and writes one [`Finding`] a line to standard output.
pub(super) fn run(targets: &ProbeTargets, limits: &Limits) {
    for &feature in &targets.features {
        let outcome = attempt(feature, targets, limits);
        if let Ok(mut line) = serde_json::to_vec(&Finding { feature, outcome }) {
            line.push(b'\n');
            // Nobody reads any more when this fails.
            let _ = io::stdout().write_all(&line);
        }
    }
}

fn attempt(feature: Feature, targets: &ProbeTargets, limits: &Limits) -> Outcome {
    match feature {
        Feature::UserNamespace => own_namespace(targets, "user").and_then(|seen| powerless_user(&seen)),
        Feature::MountNamespace => own_namespace(targets, "mnt").and_then(|_| sealed_root(&targets.host_file)),
        Feature::PidNamespace => own_namespace(targets, "pid").and_then(|_| no_foreign_process(targets.host_pid)),
        Feature::NetNamespace => own_namespace(targets, "net").and_then(|_| no_network()),
        Feature::IpcNamespace => own_namespace(targets, "ipc"),
        Feature::UtsNamespace => own_namespace(targets, "uts"),
        Feature::CgroupNamespace => own_namespace(targets, "cgroup"),
        Feature::PrivateTmp => small_tmp(limits.tmp_bytes),
        Feature::MaskedProc => masked_proc(),
        Feature::NoPrivileges => no_privileges(),
        Feature::Seccomp => filtered(),
        Feature::Rlimits => limited_files(limits.open_files),
        Feature::HostUser => own_user(targets.user),
        Feature::CgroupMemory => limited_memory(limits.memory_bytes),
        Feature::CgroupPids => limited_processes(limits.pids),
        Feature::CgroupCpu => limited_cpu(limits),
        // Tried by opening a sandbox that has a network, and outside of any.
        Feature::Egress | Feature::Landlock => Err("not tried here".to_owned()),
    }
}

/// `Ok` when `held`, with the same words for the fault.
fn expect(held: bool, seen: String) -> Outcome {
    if held { Ok(seen) } else { Err(seen) }
}

fn own_namespace(targets: &ProbeTargets, name: &str) -> Outcome {
    let inside = fs::read_link(format!("/proc/self/ns/{name}")).map_err(|error| format!("cannot look: {error}"))?;
    let outside = targets.namespaces.iter().find(|(other, _)| other == name).map(|(_, link)| link);
    let seen = format!("{} instead of the host's", inside.display());
    if outside == Some(&inside) { Err(format!("{} is the host's", inside.display())) } else { Ok(seen) }
}

fn powerless_user(seen: &str) -> Outcome {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let lone = map.lines().count() == 1 && rustix::process::getuid().as_raw() == INSIDE_ID;
    let root = rustix::process::Uid::from_raw(0);
    let refused = rustix::thread::set_thread_uid(root).is_err();
    expect(lone && refused, format!("{seen}; user {INSIDE_ID} is alone and cannot become root"))
}

fn sealed_root(host_file: &Path) -> Outcome {
    if host_file.exists() {
        return Err(format!("{} of the host can be reached", host_file.display()));
    }
    match File::create("/probe") {
        Err(error) if error.raw_os_error() == Some(libc::EROFS) => {
            Ok("host files are gone, the root is read-only".into())
        }
        Err(error) => Err(format!("writing to the root fails only by chance: {error}")),
        Ok(_) => Err("the root can be written to".into()),
    }
}

fn no_foreign_process(host_pid: i32) -> Outcome {
    let killable = Pid::from_raw(host_pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok());
    let visible = fs::read_dir("/proc").map_err(|error| format!("cannot list /proc: {error}"))?;
    let count = visible.flatten().filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok()).count();
    // The first process is hidden, which leaves this one.
    expect(!killable && count <= 2, format!("{count} process visible, signals do not reach the host"))
}

fn no_network() -> Outcome {
    let connect = |address: &str| {
        let address = address.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50))
    };
    let (inner, outer) = (connect("127.0.0.1:9"), connect("192.0.2.1:9"));
    match (inner, outer) {
        (Err(inner), Err(outer)) if outer.raw_os_error() == Some(libc::ENETUNREACH) => {
            Ok(format!("loopback: {inner}; outside: {outer}"))
        }
        (_, Err(outer)) => Err(format!("an outside connection failed only by chance: {outer}")),
        (_, Ok(_)) => Err("an outside connection was made".into()),
    }
}

fn small_tmp(bytes: u64) -> Outcome {
    let block = vec![0; bytes as usize];
    let mut file = File::create("/tmp/probe").map_err(|error| format!("cannot write to /tmp: {error}"))?;
    let outcome = file.write_all(&block).and_then(|()| file.write_all(&block));
    drop((file, fs::remove_file("/tmp/probe")));
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(format!("full after {bytes} bytes")),
        other => Err(format!("writing twice its {bytes} bytes: {other:?}")),
    }
}

fn masked_proc() -> Outcome {
    for name in ["kcore", "keys", "kallsyms", "timer_list", "interrupts", "cmdline"] {
        if fs::read(format!("/proc/{name}")).is_ok_and(|content| !content.is_empty()) {
            return Err(format!("/proc/{name} can be read"));
        }
    }
    for name in ["sys/kernel/core_pattern", "sys/vm/drop_caches", "self/oom_score_adj"] {
        if File::options().write(true).open(format!("/proc/{name}")).is_ok() {
            return Err(format!("/proc/{name} can be written to"));
        }
    }
    if Path::new("/sys/kernel").exists() {
        return Err("/sys is there".into());
    }
    Ok("kernel files are covered, /proc is read-only, there is no /sys".into())
}

fn no_privileges() -> Outcome {
    let status = fs::read_to_string("/proc/self/status").map_err(|error| format!("cannot look: {error}"))?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        if field(set).is_none_or(|value| value.chars().any(|digit| digit != '0')) {
            return Err(format!("{set} is {}", field(set).unwrap_or("unknown")));
        }
    }
    expect(field("NoNewPrivs") == Some("1"), "five empty capability sets and no_new_privs".into())
}

fn filtered() -> Outcome {
    // SAFETY: refused, or else a new namespace of this process, which harms nothing here.
    let unshared = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWUSER) };
    if unshared != Err(rustix::io::Errno::PERM) {
        return Err(format!("unshare: {unshared:?}"));
    }
    let kind = rustix::net::SocketType::DGRAM;
    match rustix::net::socket(rustix::net::AddressFamily::NETLINK, kind, None) {
        Err(rustix::io::Errno::AFNOSUPPORT) => Ok(format!("unshare and netlink sockets are refused; {}", passing())),
        other => Err(format!("a netlink socket: {other:?}")),
    }
}

/// Whether the server's end of the channel takes descriptors.
fn passing() -> &'static str {
    let channel = sys::inherited_channel();
    match channel.and_then(|channel| send_bytes(channel.as_fd(), &[0], &[channel.as_fd()])) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => "no descriptor gets to the server",
        _ => "descriptors that are passed to the server cannot be refused before Linux 6.16",
    }
}

/// What another sandbox of the same user holds of watches, pipes and descriptors under way, this one lacks.
fn own_user(of_the_server: u32) -> Outcome {
    let map = fs::read_to_string("/proc/self/uid_map").map_err(|error| format!("cannot look: {error}"))?;
    let outside = map.split_whitespace().nth(1).and_then(|number| number.parse::<u32>().ok());
    match outside {
        Some(user) if user != of_the_server => Ok(format!("user {user} of the host is this sandbox's alone")),
        _ => Err("all sandboxes are the server's user, for whom the kernel counts watches of epoll and pages of pipes"
            .into()),
    }
}

fn limited_files(limit: u64) -> Outcome {
    if getrlimit(Resource::Nofile).maximum != Some(limit) {
        return Err("the limit of open files is not ours".into());
    }
    let open: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).take(limit as usize + 1).collect();
    expect(open.len() < limit as usize, format!("opening stops after {} files", open.len() + 4))
}

fn limited_memory(limit: u64) -> Outcome {
    let wanted = limit as usize + (limit as usize) / 2;
    let status = in_child(|| {
        let mut memory = vec![1_u8; wanted];
        memory.iter_mut().step_by(4096).for_each(|byte| *byte = byte.wrapping_add(1));
        sys::exit_now(i32::from(std::hint::black_box(memory).is_empty()))
    })?;
    let killed = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL;
    let end = if killed { "was killed" } else { "went through" };
    expect(killed, format!("a process that used {wanted} of {limit} bytes {end}"))
}

fn limited_processes(limit: u32) -> Outcome {
    let mut children = Vec::new();
    let stopped = (0..limit + 4).find_map(|_| {
        // SAFETY: this process has one thread.
        match unsafe { sys::fork() } {
            Ok(Some(pid)) => {
                children.push(pid);
                None
            }
            Ok(None) => loop {
                std::thread::park();
            },
            Err(error) => Some(error),
        }
    });
    for pid in &children {
        let _ = Pid::from_raw(*pid).map(|pid| kill_process(pid, Signal::KILL));
        let _ = sys::reap(*pid);
    }
    let end = stopped.as_ref().map_or("none was refused".to_owned(), |error| format!("then {error}"));
    expect(stopped.is_some(), format!("{} processes of {limit}, {end}", children.len() + 1))
}

fn limited_cpu(limits: &Limits) -> Outcome {
    let used = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let (start, before) = (Instant::now(), used());
    while start.elapsed() < Duration::from_millis(40) {
        std::hint::spin_loop();
    }
    let percent = (used() - before).as_micros() * 100 / start.elapsed().as_micros();
    // The quota is half a core; the rest is for the coarseness of the kernel's slices.
    expect(percent < 80, format!("a busy loop got {percent}% of a core where {}% are allowed", limits.cpu_millis / 10))
}

/// Runs `work` in a child and gives its wait status.
fn in_child(work: impl FnOnce()) -> Result<i32, String> {
    // SAFETY: this process has one thread.
    match unsafe { sys::fork() } {
        Ok(None) => {
            work();
            sys::exit_now(0)
        }
        Ok(Some(pid)) => sys::reap(pid).map(|(_, reaped)| reaped.status).map_err(|error| error.to_string()),
        Err(error) => Err(format!("cannot fork: {error}")),
    }
}
