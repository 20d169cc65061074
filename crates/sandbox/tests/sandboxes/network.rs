//! Sandboxes whose functions have a network, and the process that speaks for them.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use faas_ports::{NetworkDevice, NetworkProcesses, SandboxSpec, Sandboxes};
use faas_sandbox::{LinuxNetworkProcesses, SpawnerCommand};
use faas_types::{Feature, NetworkMode, NetworkPlan};

use crate::Check;
use crate::lab::{Lab, finish, wait_until};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("the_network_process_has_nothing_but_what_it_is_given", the_network_process_has_nothing),
    ("a_network_process_that_does_not_get_ready_is_no_process", one_that_does_not_get_ready),
    ("the_network_process_ends_with_its_server", the_network_process_ends_with_its_server),
    ("the_network_process_ends_when_it_is_let_go", the_network_process_ends_when_it_is_let_go),
];

/// Those that hold however a sandbox came to be.
pub(crate) const HELD: &[(&str, Check)] = &[
    ("what_is_sent_comes_out_of_the_device", what_is_sent_comes_out_of_the_device),
    ("others_have_no_device", others_have_no_device),
    ("nothing_inside_can_change_its_network", nothing_inside_can_change_its_network),
    ("the_end_of_the_first_process_is_told", the_end_of_the_first_process_is_told),
];

/// Of a network that no packet ever leaves for.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const PORT: u16 = 4_711;

/// Whether this machine gives functions a network; says so when not.
fn has_network(lab: &Lab) -> bool {
    let probe = lab.sandboxes.report().probes.iter().find(|probe| probe.feature == Feature::Egress);
    let has = probe.is_some_and(|probe| probe.enforced);
    if !has {
        println!("    not checked here: {:?}", probe.map(|probe| &probe.detail));
    }
    has
}

fn networked(lab: &Lab, arguments: &[&str]) -> SandboxSpec {
    SandboxSpec { network: NetworkMode::Egress, ..lab.spec(arguments) }
}

fn what_is_sent_comes_out_of_the_device(lab: &Lab) -> Result<()> {
    if !has_network(lab) {
        return Ok(());
    }
    lab.block_on(async {
        let mut sandbox = lab.open(networked(lab, &["send", &ELSEWHERE.to_string(), &PORT.to_string()])).await?;
        let device = sandbox.network.take().context("no device")?;
        let packet = tokio::task::spawn_blocking(move || packet_for(&device, ELSEWHERE)).await??;
        ensure!(packet[..NetworkPlan::HEADER as usize].len() == 10 && packet[10] >> 4 == 4, "{packet:?}");
        let ip = &packet[NetworkPlan::HEADER as usize..];
        ensure!(ip[12..16] == NetworkPlan::ADDRESS.octets(), "from {:?}", &ip[12..16]);
        ensure!(ip[22..24] == PORT.to_be_bytes() && ip.ends_with(b"hello"), "{ip:?}");
        let outcome = finish(sandbox).await?;
        ensure!(outcome.stdout == "sent; loopback works\n", "{}", outcome.stdout);
        Ok(())
    })
}

/// The first packet to an address. The kernel also announces itself to its neighbours.
fn packet_for(device: &NetworkDevice, address: Ipv4Addr) -> Result<Vec<u8>> {
    let mut packet = vec![0; 70_000];
    loop {
        let mut waiting = libc::pollfd { fd: device.device.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, which outlives the call.
        ensure!(unsafe { libc::poll(&raw mut waiting, 1, 10_000) } == 1, "no packet comes");
        let length = File::from(device.device.try_clone()?).read(&mut packet)?;
        let ip = &packet[NetworkPlan::HEADER as usize..length];
        if ip.len() >= 20 && ip[16..20] == address.octets() {
            return Ok(packet[..length].to_vec());
        }
    }
}

fn others_have_no_device(lab: &Lab) -> Result<()> {
    lab.block_on(async {
        for network in [NetworkMode::None, NetworkMode::Loopback] {
            let sandbox = lab.open(SandboxSpec { network, ..lab.spec(&["cat", "/proc/net/dev"]) }).await?;
            ensure!(sandbox.network.is_none(), "{network:?} has a device");
            let outcome = finish(sandbox).await?;
            let names: Vec<&str> =
                outcome.stdout.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).skip(1).collect();
            ensure!(names.iter().all(|name| *name == "lo"), "{network:?}: {names:?}");
        }
        Ok(())
    })
}

fn nothing_inside_can_change_its_network(lab: &Lab) -> Result<()> {
    if !has_network(lab) {
        return Ok(());
    }
    let outcome = lab.run_spec(networked(lab, &["meddle"]))?;
    let expected = "address: 1\nflags: 1\nmtu: 1\nqueue: 1\nname: 1\nroute: 1\nno route: 1\nneighbour: 1\nraw socket: 93\n\
                    packet socket: 97\nnetlink socket: 97\nmark: 1\ntransparent: 1\n/dev/net/tun: 2\n";
    ensure!(outcome.stdout == expected, "{}", outcome.stdout);
    Ok(())
}

fn the_end_of_the_first_process_is_told(lab: &Lab) -> Result<()> {
    if !has_network(lab) {
        return Ok(());
    }
    lab.block_on(async {
        let mut sandbox = lab.open(networked(lab, &["sleep"])).await?;
        let NetworkDevice { device: _device, process } = sandbox.network.take().context("no device")?;
        let has_ended = || {
            let mut waiting = libc::pollfd { fd: process.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one pollfd, which outlives the call.
            unsafe { libc::poll(&raw mut waiting, 1, 0) == 1 }
        };
        ensure!(!has_ended(), "it has ended already");
        sandbox.control.kill();
        sandbox.control.wait().await;
        wait_until("the pidfd tells it", has_ended)
    })
}

/// The guest's part: sends a datagram to an address without a listener.
pub(crate) fn send(address: &str, port: &str) {
    let sent = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"hello", format!("{address}:{port}")));
    let connected = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|server| std::net::TcpStream::connect(server.local_addr()?));
    println!("{}; {}", said("sent", sent.map(drop)), said("loopback works", connected.map(drop)));
}

fn said(what: &str, outcome: io::Result<()>) -> String {
    outcome.map_or_else(|error| error.to_string(), |()| what.to_owned())
}

/// The guest's part: tries to change its network. Prints what the kernel answers.
pub(crate) fn meddle() {
    let tell = |what: &str, outcome: i64| {
        let error = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        println!("{what}: {}", if outcome < 0 { error } else { 0 });
    };
    // SAFETY: plain calls; requests carry 128 bytes, more than any of them reads.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        let mut request = [0_u8; 128];
        request[..4].copy_from_slice(b"eth0");
        request[16] = libc::AF_INET as u8;
        for (what, code) in [
            ("address", libc::SIOCSIFADDR),
            ("flags", libc::SIOCSIFFLAGS),
            ("mtu", libc::SIOCSIFMTU),
            ("queue", libc::SIOCSIFTXQLEN),
            ("name", 0x8923),
            ("route", libc::SIOCADDRT),
            ("no route", libc::SIOCDELRT),
            ("neighbour", libc::SIOCSARP),
        ] {
            tell(what, libc::ioctl(socket, code as _, request.as_mut_ptr()).into());
        }
        tell("raw socket", libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_TCP).into());
        tell("packet socket", libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0x300).into());
        tell("netlink socket", libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, 0).into());
        let one = 1_i32;
        let set = |level, name| libc::setsockopt(socket, level, name, (&raw const one).cast(), 4).into();
        tell("mark", set(libc::SOL_SOCKET, libc::SO_MARK));
        tell("transparent", set(libc::IPPROTO_IP, libc::IP_TRANSPARENT));
        tell("/dev/net/tun", libc::open(c"/dev/net/tun".as_ptr(), libc::O_RDWR).into());
    }
}

fn processes(mode: &str) -> LinuxNetworkProcesses {
    let mut command = SpawnerCommand::this_program("__network");
    command.args[0].push_str(mode);
    LinuxNetworkProcesses::new(command)
}

/// Waits for a message of a process that was just started.
fn told(control: &OwnedFd) -> Result<String> {
    let mut waiting = libc::pollfd { fd: control.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, which outlives the call.
    ensure!(unsafe { libc::poll(&raw mut waiting, 1, 10_000) } == 1, "the process says nothing");
    let mut text = vec![0; 64 << 10];
    let length = File::from(control.try_clone()?).read(&mut text)?;
    text.truncate(length);
    Ok(String::from_utf8(text)?)
}

fn exists(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

fn the_network_process_has_nothing(_: &Lab) -> Result<()> {
    let control = processes("").start()?.control;
    let said = told(&control)?;
    let (pid, attempts) = said.split_once('\n').context("no number")?;
    let expected = "socket: 38\nunix socket: 38\nconnect: 38\nbind: 38\nlisten: 38\nopen: 38\nstart: 38\nfork: 1\nkill: 38\n\
                    send to: 1\nsend message: 38\nexecutable memory: 1\nthread: works\n";
    ensure!(attempts == expected, "{attempts}");
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default();
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        ensure!(field(set).trim_start_matches('0').is_empty(), "{set} {}", field(set));
    }
    ensure!((field("NoNewPrivs:"), field("Seccomp:")) == ("1", "2"), "{status}");
    // SAFETY: no arguments and no failure.
    if unsafe { libc::geteuid() } == 0 {
        ensure!(!field("Uid:").split_whitespace().any(|id| id == "0") && field("Groups:").is_empty(), "{status}");
        for kind in ["user", "net", "mnt", "ipc", "uts"] {
            let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}"));
            ensure!(of(pid)? != of("self")?, "the same {kind} namespace");
        }
        let open: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        ensure!(open.len() == 4, "standard streams and the control socket: {open:?}");
    }
    drop(control);
    wait_until("the process is gone", || !exists(pid))
}

fn one_that_does_not_get_ready(_: &Lab) -> Result<()> {
    let failed = processes("-broken").start().err().context("a process that has ended looks like one that serves")?;
    let text = failed.to_string();
    ensure!(text.contains("ended before it was ready") && text.contains("no \\u{1b}room here"), "{text}");
    let missing = SpawnerCommand { program: "/nonexistent/faas".into(), args: Vec::new() };
    ensure!(LinuxNetworkProcesses::new(missing).start().is_err(), "a program that is not there was started");
    Ok(())
}

/// The part of a process whose confinement fails.
pub(crate) fn end_before_it_is_ready() -> ! {
    // Nobody may read it.
    let _ = io::Write::write_all(&mut io::stderr(), b"no \x1broom here\n");
    std::process::exit(1)
}

/// Also one that does not listen any more.
fn the_network_process_ends_with_its_server(_: &Lab) -> Result<()> {
    let program = std::env::current_exe()?;
    let mut server = Command::new(program).arg("__network-server").stdout(Stdio::piped()).spawn()?;
    let mut said = String::new();
    BufReader::new(server.stdout.take().context("no output")?).read_line(&mut said)?;
    let pid = said.trim();
    let lives = exists(pid);
    server.kill()?;
    server.wait()?;
    ensure!(lives, "the process {pid:?} was never there");
    wait_until("the process is gone", || !exists(pid))
}

fn the_network_process_ends_when_it_is_let_go(_: &Lab) -> Result<()> {
    let processes = processes("");
    let (one, other) = (processes.start()?.control, processes.start()?.control);
    let pid = |said: String| said.lines().next().unwrap_or_default().to_owned();
    let (one_pid, other_pid) = (pid(told(&one)?), pid(told(&other)?));
    ensure!(exists(&one_pid) && exists(&other_pid) && one_pid != other_pid, "{one_pid}, {other_pid}");
    drop(one);
    wait_until("the process is gone", || !exists(&one_pid))?;
    ensure!(exists(&other_pid), "the other one went, too");
    Ok(())
}

/// A server that is about to be killed.
pub(crate) fn serve_until_killed() -> ! {
    let control = processes("-deaf").start().expect("a process").control;
    let said = told(&control).expect("a message");
    println!("{}", said.lines().next().unwrap_or_default());
    loop {
        std::thread::park();
    }
}

/// The process' part: tries to get at more than it has, tells, and waits until it is let go.
#[expect(clippy::needless_pass_by_value, reason = "the form that `network_main` runs")]
pub(crate) fn attempts(control: OwnedFd) -> io::Result<()> {
    tell_attempts(&control)?;
    let mut waiting = libc::pollfd { fd: control.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    while waiting.revents & libc::POLLHUP == 0 {
        // SAFETY: one pollfd, which outlives the call.
        unsafe { libc::poll(&raw mut waiting, 1, -1) };
    }
    Ok(())
}

/// The same for a connection whose far end is silent.
#[expect(clippy::needless_pass_by_value, reason = "the form that `network_main` runs")]
pub(crate) fn deaf_attempts(control: OwnedFd) -> io::Result<()> {
    tell_attempts(&control)?;
    loop {
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
}

fn tell_attempts(control: &OwnedFd) -> io::Result<()> {
    let mut text = format!("{}\n", std::process::id());
    let mut tell = |what: &str, outcome: i64| {
        let error = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        text.push_str(&format!("{what}: {}\n", if outcome < 0 { error } else { 0 }));
    };
    let fd = control.as_raw_fd();
    let mut address = [0_u8; 16];
    address[0] = libc::AF_INET as u8;
    // SAFETY: plain calls whose pointers are valid; a fork that went through would end at once.
    unsafe {
        tell("socket", libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0).into());
        tell("unix socket", libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).into());
        tell("connect", libc::connect(fd, address.as_ptr().cast(), 16).into());
        tell("bind", libc::bind(fd, address.as_ptr().cast(), 16).into());
        tell("listen", libc::listen(fd, 1).into());
        tell("open", libc::open(c"/".as_ptr(), libc::O_RDONLY).into());
        tell(
            "start",
            libc::execve(c"/bin/true".as_ptr(), [std::ptr::null()].as_ptr(), [std::ptr::null()].as_ptr()).into(),
        );
        let child = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
        if child == 0 {
            libc::_exit(0);
        }
        tell("fork", child);
        tell("kill", libc::kill(1, 0).into());
        tell("send to", libc::sendto(fd, address.as_ptr().cast(), 1, 0, address.as_ptr().cast(), 16) as i64);
        let message: libc::msghdr = std::mem::zeroed();
        tell("send message", libc::sendmsg(fd, &raw const message, 0) as i64);
        let code = libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_EXEC,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        tell("executable memory", if code == libc::MAP_FAILED { -1 } else { 0 });
    }
    let works = std::thread::Builder::new().spawn(|| 7).map(|thread| thread.join().ok() == Some(7));
    text.push_str(&format!("thread: {}\n", if works.unwrap_or(false) { "works" } else { "fails" }));
    // SAFETY: borrowed for this call only.
    let mut file = std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    file.write_all(text.as_bytes())
}
