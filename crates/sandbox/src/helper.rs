//! Helper programs of the server, such as git and what its hooks run: confined before they read what a stranger sent.
//!
//! A helper gets hard limits, loses every capability and can gain none. Where the kernel has Landlock (5.13 and newer), it
//! reaches no file but the system's programs and what its rules name, connects to no port but one, and signals no process
//! but its own. Its children inherit all of it.
//!
//! There is no limit on the number of processes: the kernel counts those of a user together, and nothing that a stranger
//! sends makes a helper start more of them.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use faas_ports::HelperRules;
use landlock::{
    ABI, Access, AccessFs, AccessNet, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
    path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::child::LOCKED;
use crate::sys;

/// The newest version of Landlock whose rights are known here; older kernels do as much of it as they can.
const LANDLOCK: ABI = ABI::V6;
/// What every helper may read and run.
const SYSTEM: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/alternatives"];
/// What the loader, the C library and clients of HTTP read.
const SETTINGS: [&str; 12] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/hosts",
    "/etc/localtime",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/dev/urandom",
];
const DEVICES: [&str; 2] = ["/dev/null", "/dev/zero"];
/// Bytes of memory of one process. git holds a file of a bundle whole, with what it was made from.
const MEMORY: u64 = 512 << 20;
/// Seconds of processor time of one process.
const PROCESSOR: u64 = 120;
/// Bytes of one file: a pack has at most a bundle's.
const FILE: u64 = 1 << 30;
/// Open files of one process.
const FILES: u64 = 1_024;
/// When the machine runs out of memory, a helper goes before the server does.
const EXPENDABLE: &str = "500";
/// What shells say of a program that is not there.
const NOT_FOUND: i32 = 127;
const FAILED: i32 = 126;

/// Becomes a helper. A program whose first argument is [`HELPER`](faas_ports::HELPER) calls this first, before it starts a
/// thread. Returns only as an exit of the process: 127 where the helper is not there, 126 where it cannot be confined.
pub fn helper_main() -> ! {
    let error = match HelperRules::parse(std::env::args_os().skip(2)) {
        Some((rules, command)) => become_helper(&rules, &command),
        None => io::Error::from(io::ErrorKind::InvalidInput),
    };
    let _ = writeln!(io::stderr(), "a helper program cannot be started: {error}");
    std::process::exit(if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { FAILED })
}

/// Returns only when that failed.
fn become_helper(rules: &HelperRules, command: &[OsString]) -> io::Error {
    let Some((program, arguments)) = command.split_first() else { return io::ErrorKind::InvalidInput.into() };
    let Some(program) = find(program) else { return io::ErrorKind::NotFound.into() };
    // A process that may not raise it keeps the server's.
    let _ = std::fs::write("/proc/self/oom_score_adj", EXPENDABLE);
    let confined = limit().and_then(|()| weaken()).and_then(|()| fence(rules, &program).map_err(io::Error::other));
    match confined {
        Ok(()) => Command::new(&program).args(arguments).exec(),
        Err(error) => io::Error::other(error.to_string()),
    }
}

/// Where a program is, by the search path.
fn find(program: &OsStr) -> Option<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return Some(program.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|place| place.is_file())
}

fn limit() -> io::Result<()> {
    for (resource, most) in
        [(Resource::Data, MEMORY), (Resource::Cpu, PROCESSOR), (Resource::Fsize, FILE), (Resource::Nofile, FILES)]
    {
        // A limit that the server's own user has already may be lower.
        let most = getrlimit(resource).maximum.map_or(most, |known| known.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    sys::forbid_core_dumps();
    Ok(())
}

/// Gives up every capability: with no new privileges, a program that is started gets none back, not even as user 0.
fn weaken() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    // Needs a capability that an ordinary user lacks. The sets below are what matters.
    let _ = sys::prctl(libc::PR_SET_SECUREBITS, LOCKED);
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}

/// Closes the file system and the network but for the rules, as far as this kernel can.
fn fence(rules: &HelperRules, program: &Path) -> Result<(), RulesetError> {
    let read = AccessFs::from_read(LANDLOCK);
    let own = prefix(program);
    let readable = SYSTEM.iter().map(PathBuf::from).chain(own).chain(rules.read.iter().cloned());
    let settings = SETTINGS.iter().map(PathBuf::from);
    let devices = AccessFs::ReadFile | AccessFs::WriteFile;
    let ports = rules.connect.map(|port| Ok::<_, RulesetError>(NetPort::new(port, AccessNet::ConnectTcp)));
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .add_rules(path_beneath_rules(readable, read))?
        .add_rules(path_beneath_rules(settings, AccessFs::ReadFile | AccessFs::ReadDir))?
        .add_rules(path_beneath_rules(DEVICES, devices))?
        .add_rules(path_beneath_rules(&rules.write, AccessFs::from_all(LANDLOCK)))?
        .add_rules(ports)?;
    ruleset.restrict_self().map(drop)
}

/// Where a program was installed to, with what belongs to it: `/opt/git` for `/opt/git/bin/git`.
fn prefix(program: &Path) -> Option<PathBuf> {
    let real = program.canonicalize().ok()?;
    let prefix = real.parent()?.parent()?;
    (prefix != Path::new("/")).then(|| prefix.to_owned())
}
