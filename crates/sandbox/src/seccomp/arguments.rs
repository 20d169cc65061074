//! Calls of which some arguments are allowed and others not.
//!
//! Refused are commands of harmless calls that act on what a sandbox shares with others: on a sealed file that many
//! sandboxes have open, on the page cache and the disks, on a counter of the whole machine or of the server's user.

use super::filter::{Half, Test, Verdict};

const NEW_NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWTIME;

// Numbers that the C library's headers do not name.
const F_DUPFD_QUERY: i32 = 1027;
const F_CREATED_QUERY: i32 = 1028;
const F_SETDELEG: i32 = 1040;
const F_GET_RW_HINT: i32 = 1035;
const F_SET_RW_HINT: i32 = 1036;
const F_SET_FILE_RW_HINT: i32 = 1038;
const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;
const F_GETOWNER_UIDS: i32 = 17;
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const PR_SCHED_CORE: i32 = 62;
const PR_SET_MEMORY_MERGE: i32 = 67;
const RWF_NOWAIT: i32 = 8;
const SHM_HUGETLB: i32 = 0o4000;
const FICLONE: i32 = 0x4004_9409;
const FICLONERANGE: i32 = 0x4020_940D;
/// The groups of requests, in the second byte of a number, of terminals and of sockets.
const TERMINALS: i32 = 0x5400;
const SOCKETS: i32 = 0x8900;

pub(super) fn inspected() -> Vec<(i64, Verdict)> {
    [done_without_effect(), processes(), files(), memory(), sockets()].into_iter().flatten().collect()
}

/// What a sandbox can write to is in memory. The disks are the host's, and each of these calls on a sealed file would
/// make them write out what is waiting.
fn done_without_effect() -> Vec<(i64, Verdict)> {
    let whole = [libc::SYS_sync, libc::SYS_syncfs, libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync_file_range];
    let mut rules: Vec<_> = whole.into_iter().map(|number| (number, done())).collect();
    rules.push((libc::SYS_msync, unless(test(2, libc::MS_SYNC as u32, &[libc::MS_SYNC], done()))));
    // Would throw sealed files out of the page cache of all, and so tell who reads them next.
    rules.push((libc::SYS_fadvise64, unless(test(3, u32::MAX, &[libc::POSIX_FADV_DONTNEED], done()))));
    rules
}

fn processes() -> Vec<(i64, Verdict)> {
    // The limit that keeps the host's core dump program from being started (see `sys::forbid_core_dumps`).
    let no_core_limit = |resource: u32| unless(test(resource, u32::MAX, &[libc::RLIMIT_CORE as i32], refused()));
    // More filters cost memory that the kernel gives to all filters of the machine together. A cookie for core
    // scheduling keeps a processor's other half idle; merged memory can be probed for what others hold.
    let attributes = [libc::PR_SET_SECCOMP, PR_SCHED_CORE, PR_SET_MEMORY_MERGE];
    vec![
        (libc::SYS_getrlimit, no_core_limit(0)),
        (libc::SYS_setrlimit, no_core_limit(0)),
        (libc::SYS_prlimit64, no_core_limit(1)),
        (libc::SYS_prctl, unless(test(0, u32::MAX, &attributes, refused()))),
        (libc::SYS_seccomp, unless(test(0, u32::MAX, &[libc::SECCOMP_SET_MODE_FILTER as i32], refused()))),
        // No flag of a new namespace; otherwise threads and processes at will. The flags of `clone3` are in memory,
        // where no filter can look: it is left out of this list, and C libraries then use `clone`.
        (libc::SYS_clone, only(test(0, NEW_NAMESPACES as u32, &[0], Verdict::Allow), libc::EPERM)),
        // Asking, and the two execution domains of ordinary Linux programs.
        (
            libc::SYS_personality,
            only(test(0, u32::MAX, &[0, 0x8, 0x2_0000, 0x2_0008, -1], Verdict::Allow), libc::EPERM),
        ),
    ]
}

fn files() -> Vec<(i64, Verdict)> {
    vec![
        (libc::SYS_fcntl, fcntl()),
        (libc::SYS_ioctl, ioctl()),
        // Tells whether somebody has read that part of a sealed file.
        (libc::SYS_preadv2, unless(test(5, RWF_NOWAIT as u32, &[RWF_NOWAIT], Verdict::Errno(libc::EOPNOTSUPP)))),
    ]
}

/// Leases and delegations make everybody else wait who opens the file, and notifications tell who did: both belong to
/// the file, not to the descriptor. Pipes beyond the usual size are charged to the server's user.
fn fcntl() -> Verdict {
    let shared = [libc::F_SETLEASE, libc::F_NOTIFY, libc::F_SETPIPE_SZ, F_SET_RW_HINT, F_SET_FILE_RW_HINT, F_SETDELEG];
    #[rustfmt::skip]
    let own = [
        libc::F_DUPFD, libc::F_DUPFD_CLOEXEC, F_DUPFD_QUERY, F_CREATED_QUERY, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL,
        libc::F_SETFL, libc::F_GETLK, libc::F_SETLK, libc::F_SETLKW, libc::F_OFD_GETLK, libc::F_OFD_SETLK,
        libc::F_OFD_SETLKW, libc::F_CANCELLK, libc::F_GETLEASE, libc::F_GETPIPE_SZ, libc::F_ADD_SEALS, libc::F_GET_SEALS,
        F_GET_RW_HINT, libc::F_SETOWN, libc::F_GETOWN, F_SETOWN_EX, F_GETOWN_EX, F_GETOWNER_UIDS, F_SETSIG, F_GETSIG,
    ];
    Verdict::Inspect(
        vec![test(1, u32::MAX, &shared, refused()), test(1, u32::MAX, &own, Verdict::Allow)],
        Box::new(Verdict::Errno(libc::EINVAL)),
    )
}

/// Terminals and sockets, but for faking input; and copies that share their blocks, which sealed files refuse by
/// themselves. Requests of file systems reach the host's through any file of a layer.
fn ioctl() -> Verdict {
    let faked = [libc::TIOCSTI as i32, libc::TIOCLINUX as i32];
    Verdict::Inspect(
        vec![
            test(1, u32::MAX, &faked, refused()),
            test(1, 0xFF00, &[TERMINALS, SOCKETS], Verdict::Allow),
            test(1, u32::MAX, &[FICLONE, FICLONERANGE], Verdict::Allow),
        ],
        Box::new(Verdict::Errno(libc::ENOTTY)),
    )
}

/// The machine's reserved huge pages, which no cgroup counts, and pages of files that all share.
fn memory() -> Vec<(i64, Verdict)> {
    let advice = [libc::MADV_MERGEABLE, libc::MADV_COLD, libc::MADV_PAGEOUT];
    let no_huge = |argument: u32, flag: i32| unless(test(argument, flag as u32, &[flag], refused()));
    vec![
        (libc::SYS_madvise, unless(test(2, u32::MAX, &advice, Verdict::Errno(libc::EINVAL)))),
        (libc::SYS_mmap, no_huge(3, libc::MAP_HUGETLB)),
        (libc::SYS_memfd_create, no_huge(1, libc::MFD_HUGETLB as i32)),
        (libc::SYS_shmget, no_huge(2, SHM_HUGETLB)),
    ]
}

fn sockets() -> Vec<(i64, Verdict)> {
    vec![
        (libc::SYS_socket, socket()),
        (libc::SYS_socketpair, only(test(0, u32::MAX, &[libc::AF_UNIX], Verdict::Allow), libc::EAFNOSUPPORT)),
        (libc::SYS_setsockopt, unless(test(1, u32::MAX, &[libc::SOL_SOCKET], socket_option()))),
    ]
}

/// A lingering connection blocks the last process that closes it, also a thread of the kernel or of the server that got
/// it by a message. Programs that ask for it close as usual. Filters as in [`processes`].
fn socket_option() -> Verdict {
    let filters =
        [libc::SO_ATTACH_FILTER, libc::SO_ATTACH_BPF, libc::SO_ATTACH_REUSEPORT_CBPF, libc::SO_ATTACH_REUSEPORT_EBPF];
    Verdict::Inspect(
        vec![test(2, u32::MAX, &[libc::SO_LINGER], done()), test(2, u32::MAX, &filters, refused())],
        Box::new(Verdict::Allow),
    )
}

fn socket() -> Verdict {
    let stream_or_datagram = [libc::SOCK_STREAM, libc::SOCK_DGRAM];
    let plain = [0, libc::IPPROTO_TCP, libc::IPPROTO_UDP];
    let protocol = only(test(2, u32::MAX, &plain, Verdict::Allow), libc::EPROTONOSUPPORT);
    let kind = only(test(1, 0xf, &stream_or_datagram, protocol), libc::EPROTONOSUPPORT);
    Verdict::Inspect(
        vec![
            test(0, u32::MAX, &[libc::AF_UNIX], Verdict::Allow),
            test(0, u32::MAX, &[libc::AF_INET, libc::AF_INET6], kind),
        ],
        Box::new(Verdict::Errno(libc::EAFNOSUPPORT)),
    )
}

const fn refused() -> Verdict {
    Verdict::Errno(libc::EPERM)
}

/// Success, with nothing done.
const fn done() -> Verdict {
    Verdict::Errno(0)
}

/// Only what the test names; the rest fails with this error.
pub(super) fn only(test: Test, otherwise: i32) -> Verdict {
    Verdict::Inspect(vec![test], Box::new(Verdict::Errno(otherwise)))
}

/// Everything but what the test names.
pub(super) fn unless(test: Test) -> Verdict {
    Verdict::Inspect(vec![test], Box::new(Verdict::Allow))
}

pub(super) fn test(argument: u32, mask: u32, values: &[i32], verdict: Verdict) -> Test {
    Test { argument, half: Half::Low, mask, values: values.iter().map(|value| *value as u32).collect(), verdict }
}

#[cfg(test)]
mod tests {
    use crate::seccomp::filter::tests::{ALLOWED, failed, verdict};

    #[test]
    fn commands_that_act_on_shared_files_are_refused() {
        let fcntl = |command: i32| verdict(libc::SYS_fcntl, [3, command as u64, 0, 0, 0, 0]);
        for command in [libc::F_SETLEASE, libc::F_NOTIFY, libc::F_SETPIPE_SZ, 1036, 1038, 1040] {
            assert_eq!(fcntl(command), failed(libc::EPERM), "command {command}");
        }
        for command in [libc::F_DUPFD_CLOEXEC, libc::F_SETFL, libc::F_SETLK, libc::F_OFD_SETLK, libc::F_ADD_SEALS] {
            assert_eq!(fcntl(command), ALLOWED, "command {command}");
        }
        assert_eq!(fcntl(2000), failed(libc::EINVAL), "one that no kernel knows yet");
        let ioctl = |request: u64| verdict(libc::SYS_ioctl, [3, request, 0, 0, 0, 0]);
        for request in [libc::FIONBIO, libc::FIONREAD, libc::TIOCGWINSZ, libc::SIOCGIFCONF, 0x4004_9409] {
            assert_eq!(ioctl(request), ALLOWED, "request {request:#x}");
        }
        for request in [0xC004_5877, 0x4008_6602, 0xC050_6617, 0xFF0B, 0xB701] {
            assert_eq!(ioctl(request), failed(libc::ENOTTY), "request {request:#x}");
        }
        for call in [libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync_file_range] {
            assert_eq!(verdict(call, [3, 0, 0, 0, 0, 0]), failed(0), "call {call}");
        }
        assert_eq!(verdict(libc::SYS_msync, [0, 0, libc::MS_SYNC as u64, 0, 0, 0]), failed(0));
        assert_eq!(verdict(libc::SYS_msync, [0, 0, libc::MS_ASYNC as u64, 0, 0, 0]), ALLOWED);
        assert_eq!(verdict(libc::SYS_fadvise64, [3, 0, 0, libc::POSIX_FADV_DONTNEED as u64, 0, 0]), failed(0));
        assert_eq!(verdict(libc::SYS_fadvise64, [3, 0, 0, libc::POSIX_FADV_WILLNEED as u64, 0, 0]), ALLOWED);
        assert_eq!(verdict(libc::SYS_preadv2, [3, 0, 0, 0, 0, 8]), failed(libc::EOPNOTSUPP));
        assert_eq!(verdict(libc::SYS_preadv2, [3, 0, 0, 0, 0, 0]), ALLOWED);
    }

    #[test]
    fn what_the_whole_machine_counts_is_refused() {
        let option = |level: i32, name: i32| verdict(libc::SYS_setsockopt, [3, level as u64, name as u64, 0, 0, 0]);
        assert_eq!(option(libc::SOL_SOCKET, libc::SO_LINGER), failed(0), "success without effect");
        assert_eq!(option(libc::IPPROTO_TCP, libc::SO_LINGER), ALLOWED, "the same number at another level");
        for name in [libc::SO_ATTACH_FILTER, libc::SO_ATTACH_BPF, libc::SO_ATTACH_REUSEPORT_CBPF] {
            assert_eq!(option(libc::SOL_SOCKET, name), failed(libc::EPERM), "option {name}");
        }
        assert_eq!(option(libc::SOL_SOCKET, libc::SO_REUSEADDR), ALLOWED);
        let huge = libc::MAP_HUGETLB as u64 | libc::MAP_ANONYMOUS as u64;
        assert_eq!(verdict(libc::SYS_mmap, [0, 0, 0, huge, 0, 0]), failed(libc::EPERM));
        assert_eq!(verdict(libc::SYS_mmap, [0, 0, 0, libc::MAP_ANONYMOUS as u64, 0, 0]), ALLOWED);
        assert_eq!(verdict(libc::SYS_memfd_create, [0, libc::MFD_HUGETLB as u64, 0, 0, 0, 0]), failed(libc::EPERM));
        assert_eq!(verdict(libc::SYS_memfd_create, [0, libc::MFD_CLOEXEC as u64, 0, 0, 0, 0]), ALLOWED);
        assert_eq!(verdict(libc::SYS_shmget, [0, 0, 0o4600, 0, 0, 0]), failed(libc::EPERM));
        for attribute in [libc::PR_SET_SECCOMP, 62, 67] {
            assert_eq!(verdict(libc::SYS_prctl, [attribute as u64, 0, 0, 0, 0, 0]), failed(libc::EPERM));
        }
        assert_eq!(verdict(libc::SYS_prctl, [libc::PR_SET_NAME as u64, 0, 0, 0, 0, 0]), ALLOWED);
        assert_eq!(verdict(libc::SYS_seccomp, [1, 0, 0, 0, 0, 0]), failed(libc::EPERM));
        for advice in [libc::MADV_MERGEABLE, libc::MADV_PAGEOUT] {
            assert_eq!(verdict(libc::SYS_madvise, [0, 0, advice as u64, 0, 0, 0]), failed(libc::EINVAL));
        }
        assert_eq!(verdict(libc::SYS_madvise, [0, 0, libc::MADV_DONTNEED as u64, 0, 0, 0]), ALLOWED);
    }
}
