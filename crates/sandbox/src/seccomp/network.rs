//! Which system calls the process may make that speaks for sandboxes.
//!
//! It reads what strangers send, so it is treated as if one had taken it over: it can use the devices and sockets that the
//! server handed to it, and reach nothing else. A socket it has keeps its peer: what names an address is refused, and so
//! is what sends descriptors away, looks at files, starts programs or makes memory executable.

use super::arguments::{only, test, unless};
use super::filter::{Half, Test, Verdict};

macro_rules! numbers {
    ($($name:ident)*) => { &[$(libc::$name),*] };
}

#[rustfmt::skip]
const ALLOWED: &[i64] = numbers! {
    // What it was given.
    SYS_read SYS_write SYS_readv SYS_writev SYS_recvfrom SYS_recvmsg SYS_recvmmsg SYS_shutdown SYS_getsockopt
    SYS_getsockname SYS_getpeername SYS_close SYS_close_range SYS_fstat
    // Waiting.
    SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_ppoll SYS_eventfd2
    SYS_timerfd_create SYS_timerfd_settime SYS_clock_gettime SYS_clock_getres SYS_clock_nanosleep SYS_nanosleep
    SYS_gettimeofday SYS_restart_syscall
    // Memory. `mmap` and `mprotect` are inspected.
    SYS_brk SYS_munmap SYS_mremap SYS_madvise SYS_membarrier
    // Threads.
    SYS_futex SYS_set_robust_list SYS_set_tid_address SYS_rseq SYS_gettid SYS_getpid SYS_sched_yield SYS_sched_getaffinity
    SYS_getcpu SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_sigaltstack SYS_exit SYS_exit_group SYS_getrandom
};

#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[i64] = numbers! { SYS_epoll_wait SYS_poll };
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[i64] = &[];

/// Flags of `clone` for a thread, which every thread has.
const THREAD: i32 = libc::CLONE_THREAD | libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_SIGHAND;

/// Every rule. What has none does not exist, so that C libraries take older calls.
pub(super) fn rules() -> Vec<(i64, Verdict)> {
    let allowed = ALLOWED.iter().chain(ALLOWED_HERE).map(|number| (*number, Verdict::Allow));
    allowed.chain(inspected()).collect()
}

fn inspected() -> Vec<(i64, Verdict)> {
    let files = [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL, libc::F_DUPFD_CLOEXEC];
    let requests = [libc::FIONBIO as i32, libc::FIONREAD as i32];
    let no_code = |argument: u32| unless(test(argument, libc::PROT_EXEC as u32, &[libc::PROT_EXEC], refused()));
    vec![
        (libc::SYS_sendto, without_address()),
        (libc::SYS_prlimit64, own_limits()),
        (libc::SYS_setsockopt, socket_option()),
        (libc::SYS_fcntl, only(test(1, u32::MAX, &files, Verdict::Allow), libc::EPERM)),
        (libc::SYS_ioctl, only(test(1, u32::MAX, &requests, Verdict::Allow), libc::EPERM)),
        (libc::SYS_mmap, no_code(2)),
        (libc::SYS_mprotect, no_code(2)),
        (libc::SYS_clone, only(test(0, THREAD as u32, &[THREAD], Verdict::Allow), libc::EPERM)),
        (libc::SYS_prctl, only(test(0, u32::MAX, &[libc::PR_SET_NAME, libc::PR_SET_VMA], Verdict::Allow), libc::EPERM)),
    ]
}

/// `sendto` to the peer alone: both halves of the address' pointer are zero.
fn without_address() -> Verdict {
    let half = |half: Half, verdict: Verdict| Test { half, ..test(4, u32::MAX, &[0], verdict) };
    only(half(Half::Low, only(half(Half::High, Verdict::Allow), libc::EPERM)), libc::EPERM)
}

/// What this process may have is read, never changed, and never that of another one.
fn own_limits() -> Verdict {
    let zero = |index: u32, half: Half, verdict: Verdict| Test { half, ..test(index, u32::MAX, &[0], verdict) };
    let read = only(zero(2, Half::Low, only(zero(2, Half::High, Verdict::Allow), libc::EPERM)), libc::EPERM);
    only(zero(0, Half::Low, read), libc::EPERM)
}

/// What tunes a connection. Whatever tells where packets go is the server's.
fn socket_option() -> Verdict {
    let tcp = [
        libc::TCP_NODELAY,
        libc::TCP_QUICKACK,
        libc::TCP_CORK,
        libc::TCP_NOTSENT_LOWAT,
        libc::TCP_KEEPIDLE,
        libc::TCP_KEEPINTVL,
    ];
    let own = [libc::SO_SNDBUF, libc::SO_RCVBUF, libc::SO_LINGER, libc::SO_KEEPALIVE];
    let named = |options: &[i32]| only(test(2, u32::MAX, options, Verdict::Allow), libc::EPERM);
    Verdict::Inspect(
        vec![test(1, u32::MAX, &[libc::IPPROTO_TCP], named(&tcp)), test(1, u32::MAX, &[libc::SOL_SOCKET], named(&own))],
        Box::new(refused()),
    )
}

const fn refused() -> Verdict {
    Verdict::Errno(libc::EPERM)
}

#[cfg(test)]
mod tests {
    use crate::seccomp::filter::tests::{ALLOWED, failed, verdict_of};
    use crate::seccomp::network_program;

    fn verdict(number: i64, args: [u64; 6]) -> u32 {
        verdict_of(&network_program(), number, args)
    }

    #[test]
    fn nothing_new_can_be_reached() {
        #[rustfmt::skip]
        let calls = [
            libc::SYS_socket, libc::SYS_socketpair, libc::SYS_connect, libc::SYS_bind, libc::SYS_listen, libc::SYS_accept4,
            libc::SYS_sendmsg, libc::SYS_sendmmsg, libc::SYS_openat, libc::SYS_openat2, libc::SYS_execve, libc::SYS_execveat,
            libc::SYS_clone3, libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_pidfd_getfd, libc::SYS_kill,
            libc::SYS_tgkill, libc::SYS_pidfd_send_signal, libc::SYS_unshare, libc::SYS_setns, libc::SYS_mount, libc::SYS_bpf,
            libc::SYS_io_uring_setup, libc::SYS_memfd_create, libc::SYS_splice, libc::SYS_sendfile, libc::SYS_setuid,
        ];
        for call in calls {
            assert_eq!(verdict(call, [0; 6]), failed(libc::ENOSYS), "call {call}");
        }
        for call in [libc::SYS_read, libc::SYS_writev, libc::SYS_recvmsg, libc::SYS_epoll_pwait, libc::SYS_futex] {
            assert_eq!(verdict(call, [0; 6]), ALLOWED, "call {call}");
        }
    }

    #[test]
    fn what_is_sent_goes_to_the_peer() {
        let send = |address: u64| verdict(libc::SYS_sendto, [3, 0, 1, 0, address, 0]);
        assert_eq!(send(0), ALLOWED);
        for address in [1, 0x7fff_0000_1000, 1 << 32, 1 << 40] {
            assert_eq!(send(address), failed(libc::EPERM), "address at {address:#x}");
        }
    }

    #[test]
    fn limits_of_its_own_are_read_alone() {
        let limits = |process: u64, new: u64| verdict(libc::SYS_prlimit64, [process, 7, new, 0x7fff_0000, 0, 0]);
        assert_eq!(limits(0, 0), ALLOWED);
        for (process, new) in [(1, 0), (0, 0x1000), (0, 1 << 40)] {
            assert_eq!(limits(process, new), failed(libc::EPERM), "{process}, {new:#x}");
        }
    }

    #[test]
    fn arguments_that_reach_further_are_refused() {
        let thread = (super::THREAD | libc::CLONE_SETTLS | libc::CLONE_FS) as u64;
        assert_eq!(verdict(libc::SYS_clone, [thread, 0, 0, 0, 0, 0]), ALLOWED);
        for flags in [libc::SIGCHLD, libc::CLONE_VM | libc::CLONE_VFORK, libc::CLONE_NEWUSER] {
            assert_eq!(verdict(libc::SYS_clone, [flags as u64, 0, 0, 0, 0, 0]), failed(libc::EPERM));
        }
        let code = (libc::PROT_READ | libc::PROT_EXEC) as u64;
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            assert_eq!(verdict(call, [0, 0, libc::PROT_READ as u64, 0, 0, 0]), ALLOWED);
            assert_eq!(verdict(call, [0, 0, code, 0, 0, 0]), failed(libc::EPERM));
        }
        let ioctl = |code: u64| verdict(libc::SYS_ioctl, [3, code, 0, 0, 0, 0]);
        assert_eq!(ioctl(libc::FIONBIO), ALLOWED);
        for code in [libc::TUNSETIFF, libc::TUNSETPERSIST, libc::SIOCSIFFLAGS, 0x894C] {
            assert_eq!(ioctl(code), failed(libc::EPERM), "request {code:#x}");
        }
        let option = |level: i32, name: i32| verdict(libc::SYS_setsockopt, [3, level as u64, name as u64, 0, 0, 0]);
        for (level, name) in [
            (libc::IPPROTO_TCP, libc::TCP_NODELAY),
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
            (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
        ] {
            assert_eq!(option(level, name), ALLOWED);
        }
        for (level, name) in [
            (libc::SOL_SOCKET, libc::SO_BINDTODEVICE),
            (libc::SOL_SOCKET, libc::SO_MARK),
            (libc::IPPROTO_IP, libc::IP_TRANSPARENT),
            (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT),
        ] {
            assert_eq!(option(level, name), failed(libc::EPERM), "level {level}, option {name}");
        }
        let prctl = |option: i32| verdict(libc::SYS_prctl, [option as u64, 0, 0, 0, 0, 0]);
        assert_eq!((prctl(libc::PR_SET_NAME), prctl(libc::PR_SET_PTRACER)), (ALLOWED, failed(libc::EPERM)));
    }
}
