//! System calls that no safe wrapper offers.

mod tun;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use tokio::io::unix::AsyncFd;

pub(crate) use tun::make_tun;

/// A started child as its parent holds it.
pub(crate) struct Child {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

/// What a reaped child leaves behind.
pub(crate) struct Reaped {
    /// As `wait4` reports it.
    pub(crate) status: i32,
    /// User and system time of the child and of everything it waited for.
    pub(crate) cpu_us: u64,
}

/// Of `linux/sched.h`; the constant of libc has too few bits.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Forks with `clone3`; `None` in the child. `cgroup` is a directory of the v2 hierarchy to start in.
///
/// # Safety
/// The calling process must have a single thread: the child gets a copy of the memory as this thread sees it, and a
/// lock held by another thread would stay locked for ever.
pub(crate) unsafe fn clone_process(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Option<Child>> {
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain integers, for which zero means unset.
    let mut args: libc::clone_args = unsafe { zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(directory) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = directory.as_raw_fd() as u64;
    }
    // SAFETY: args and pidfd outlive the call; no stack is given, so the child runs on a copy of this one.
    let pid =
        check(unsafe { libc::syscall(libc::SYS_clone3, ptr::from_mut(&mut args), size_of::<libc::clone_args>()) })?;
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: in the parent of a successful call the kernel has stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Some(Child { pid: pid as i32, pidfd }))
}

/// Forks; `None` in the child.
///
/// # Safety
/// As for [`clone_process`].
pub(crate) unsafe fn fork() -> io::Result<Option<i32>> {
    // SAFETY: the caller's promise.
    let pid = check(unsafe { libc::fork() }.into())?;
    Ok((pid != 0).then_some(pid as i32))
}

/// Forks without any of the newer calls, which some containers forbid; `None` in the child.
///
/// # Safety
/// As for [`clone_process`].
pub(crate) unsafe fn fork_child() -> io::Result<Option<Child>> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    // SAFETY: the caller's promise.
    let Some(pid) = unsafe { fork() }? else { return Ok(None) };
    // A child keeps its number until it is reaped.
    let known = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Some(Child { pid, pidfd: pidfd_open(known, PidfdFlags::empty())? }))
}

/// Replaces the program; returns only when that failed.
pub(crate) fn exec(program: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |texts: &[CString]| -> Vec<*const c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end with a null pointer and, like the texts they point to, live until the call returns.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Ends the process without running destructors or exit handlers, which belong to the parent's image.
pub(crate) fn exit_now(code: c_int) -> ! {
    // SAFETY: _exit has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

/// Waits until `pid` is gone and reaps it. `pid` must be a child of this process; `-1` means any.
pub(crate) fn reap(pid: i32) -> io::Result<(i32, Reaped)> {
    let mut status = 0;
    // SAFETY: rusage is plain integers.
    let mut usage: libc::rusage = unsafe { zeroed() };
    loop {
        // SAFETY: both out pointers are valid for the call.
        let result = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if result > 0 {
            let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
            return Ok((result, Reaped { status, cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime) }));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Closes the descriptors from `first` to `last`, both included.
pub(crate) fn close_range(first: u32, last: u32) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: callers close what they forgot or never owned; see `child::files`.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// A copy of the channel that a started program has as descriptor 3.
pub(crate) fn inherited_channel() -> io::Result<OwnedFd> {
    // SAFETY: borrowed for this call only; a number that is not open makes it fail.
    let channel = unsafe { BorrowedFd::borrow_raw(3) };
    channel.try_clone_to_owned()
}

/// Makes `fd` also available as `number`, which a new program inherits.
pub(crate) fn dup_onto(fd: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: only replaces descriptors of a process that is about to exec or has handed them over.
    check(unsafe { libc::dup2(fd.as_raw_fd(), number) }.into()).map(drop)
}

/// Changes the attributes of the mount that `fd` refers to.
pub(crate) fn mount_setattr(fd: BorrowedFd<'_>, set: u64, propagation: u64) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the path is a constant and the attributes outlive the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            ptr::from_ref(&attributes),
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// Sets the host name of the UTS namespace.
pub(crate) fn set_host_name(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length describe `name`.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }.into()).map(drop)
}

/// Brings the loopback interface of the network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    // SAFETY: the arguments are constants; the result is checked before it is owned.
    let raw = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }.into())?;
    // SAFETY: a new descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(raw as RawFd) };
    // SAFETY: ifreq is plain bytes and integers.
    let mut request: libc::ifreq = unsafe { zeroed() };
    request.ifr_name[0] = b'l' as c_char;
    request.ifr_name[1] = b'o' as c_char;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as i16;
    // SAFETY: the request is valid for the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request) }.into()).map(drop)
}

/// `prctl` with integer arguments.
pub(crate) fn prctl(option: c_int, argument: libc::c_ulong) -> io::Result<c_int> {
    // SAFETY: used only with options that take integers.
    check(unsafe { libc::prctl(option, argument, 0, 0, 0) }.into()).map(|value| value as c_int)
}

/// The version of Landlock that this kernel enforces.
pub(crate) fn landlock_version() -> io::Result<libc::c_long> {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the kernel reads no attributes and makes nothing.
    check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<libc::c_void>(), 0_usize, VERSION) })
}

/// Sets how long the calling thread may run before it is another one's turn. Threads of real-time policies are left alone.
pub(crate) fn set_slice(length: Duration) -> io::Result<()> {
    // SAFETY: sched_attr is plain integers, for which zero means unset.
    let mut attributes: libc::sched_attr = unsafe { zeroed() };
    let size = size_of::<libc::sched_attr>();
    // SAFETY: the kernel writes at most `size` bytes, and the structure outlives the call. 0 is the calling thread.
    check(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, ptr::from_mut(&mut attributes), size, 0) })?;
    if ![libc::SCHED_OTHER, libc::SCHED_BATCH].contains(&(attributes.sched_policy as c_int)) {
        return Ok(());
    }
    attributes.size = size as u32;
    attributes.sched_runtime = length.as_nanos() as u64;
    // SAFETY: the kernel reads `size` bytes, and the structure outlives the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, ptr::from_ref(&attributes), 0) }).map(drop)
}

/// Installs a seccomp filter for this thread and its descendants.
pub(crate) fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let description = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    let pointer: *const c_void = ptr::from_ref(&description).cast();
    // SAFETY: the kernel copies the program during the call and does not write to it.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, pointer) }).map(drop)
}

/// Signals that the spawner does not listen to: the terminal's and the init system's are for the server, and a write
/// to a closed socket is an error like any other.
pub(crate) const IGNORED: [c_int; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGPIPE];

/// Sets what happens on signals: nothing, or the default action.
pub(crate) fn set_signals(signals: &[c_int], ignore: bool) {
    let action = if ignore { libc::SIG_IGN } else { libc::SIG_DFL };
    for signal in signals {
        // SAFETY: no handler function is installed. Signals that cannot be changed are left as they are.
        unsafe { libc::signal(*signal, action) };
    }
}

/// Registers a descriptor with the runtime's reactor.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open, keeps its number, and is closed only after the AsyncFd that now owns it.
    unsafe { AsyncFd::register(fd) }.map_err(|error| error.into_parts().1)
}

/// Gives every signal its default action and unblocks it, whatever the server was started with.
///
/// Not by `signal`, which leaves out two numbers that the C library uses itself: those are inherited ignored from
/// careless launchers as well.
pub(crate) fn reset_signals() {
    // The kernel's `struct sigaction`: handler, flags, restorer and mask; all zero is the default action.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: the structure outlives the call, no handler is installed, and no old one is asked for. SIGKILL and
        // SIGSTOP are refused, as they are always at their default.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null_mut::<c_void>(), 8_usize);
        }
    }
    // SAFETY: sigset_t is initialised by sigemptyset before it is used.
    unsafe {
        let mut none: libc::sigset_t = zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Raises the soft limit of open files to the hard one. A server has some six descriptors for each open sandbox, its
/// spawner three: the customary soft limit would end at a few hundred sandboxes.
pub(crate) fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // At the old limit it works as well, for fewer sandboxes.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Keeps this process and all it starts from ever starting the host's core dump program, which would run outside every
/// sandbox and read what a function's crash left. A size of 0 does not: the kernel starts the program all the same.
/// Of 1 it says no, and a core file does not fit either. The system call filter keeps the value as it is.
pub(crate) fn forbid_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    for size in [1, 0] {
        // An ordinary user whose own hard limit is 0 cannot raise it.
        if setrlimit(Resource::Core, Rlimit { current: Some(size), maximum: Some(size) }).is_ok() {
            return;
        }
    }
}
