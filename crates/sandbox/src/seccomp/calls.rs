//! Which system calls a sandbox may make.
//!
//! The list follows what container runtimes allow without any capability, less what no language runtime was seen to
//! need (asynchronous disk I/O of the old kind, message queues, file handles, `memfd_secret`), and less what is charged to
//! the server's user whatever the namespace: the kernel gives that user 128 instances of `inotify`, and one sandbox that
//! takes them all takes them from every other and from the host.

use super::arguments::inspected;
use super::filter::Verdict;

macro_rules! numbers {
    ($($name:ident)*) => { &[$(libc::$name),*] };
}

/// Harmless for a process without capabilities, whatever the arguments. What depends on them is in `arguments`.
#[rustfmt::skip]
const ALLOWED: &[i64] = numbers! {
    // Files and directories.
    SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64 SYS_preadv SYS_pwritev SYS_pwritev2
    SYS_openat SYS_openat2 SYS_close SYS_close_range SYS_lseek SYS_fstat SYS_newfstatat SYS_statx SYS_statfs
    SYS_fstatfs SYS_faccessat SYS_faccessat2 SYS_readlinkat SYS_getdents64 SYS_getcwd SYS_chdir SYS_fchdir
    SYS_mkdirat SYS_unlinkat SYS_renameat SYS_renameat2 SYS_linkat SYS_symlinkat SYS_mknodat SYS_fchmod SYS_fchmodat
    SYS_fchmodat2 SYS_fchown SYS_fchownat SYS_truncate SYS_ftruncate SYS_fallocate SYS_readahead SYS_flock
    SYS_umask SYS_utimensat SYS_dup SYS_dup3 SYS_copy_file_range SYS_sendfile SYS_splice SYS_tee SYS_vmsplice
    SYS_getxattr SYS_lgetxattr SYS_fgetxattr SYS_setxattr SYS_lsetxattr SYS_fsetxattr SYS_listxattr SYS_llistxattr
    SYS_flistxattr SYS_removexattr SYS_lremovexattr SYS_fremovexattr
    // Waiting for events.
    SYS_pipe2 SYS_eventfd2 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_ppoll SYS_pselect6
    SYS_signalfd4 SYS_timerfd_create SYS_timerfd_settime SYS_timerfd_gettime
    // Memory.
    SYS_brk SYS_munmap SYS_mprotect SYS_mremap SYS_mincore SYS_membarrier
    SYS_mlock SYS_mlock2 SYS_mlockall SYS_munlock SYS_munlockall SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect
    SYS_remap_file_pages SYS_mseal SYS_get_mempolicy
    SYS_shmat SYS_shmdt SYS_shmctl SYS_semget SYS_semop SYS_semtimedop SYS_semctl
    SYS_msgget SYS_msgsnd SYS_msgrcv SYS_msgctl
    // Processes, threads and signals. `clone` is inspected.
    SYS_execve SYS_execveat SYS_exit SYS_exit_group SYS_wait4 SYS_waitid SYS_kill SYS_tkill SYS_tgkill
    SYS_pidfd_open SYS_pidfd_send_signal SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigpending
    SYS_rt_sigqueueinfo SYS_rt_tgsigqueueinfo SYS_rt_sigsuspend SYS_rt_sigtimedwait SYS_sigaltstack
    SYS_restart_syscall SYS_futex SYS_futex_waitv SYS_set_robust_list SYS_get_robust_list
    SYS_set_tid_address SYS_rseq
    SYS_landlock_create_ruleset SYS_landlock_add_rule SYS_landlock_restrict_self
    // Identity, limits and scheduling: what a process may ask about or do to itself.
    SYS_getpid SYS_getppid SYS_gettid SYS_getpgid SYS_setpgid SYS_getsid SYS_setsid SYS_getuid SYS_geteuid
    SYS_getgid SYS_getegid SYS_getresuid SYS_getresgid SYS_getgroups SYS_setuid SYS_setgid SYS_setreuid SYS_setregid
    SYS_setresuid SYS_setresgid SYS_setfsuid SYS_setfsgid SYS_setgroups SYS_capget SYS_capset
    SYS_getrusage SYS_times SYS_sysinfo SYS_uname SYS_getcpu
    SYS_getpriority SYS_setpriority SYS_ioprio_get SYS_ioprio_set SYS_sched_yield SYS_sched_getaffinity
    SYS_sched_setaffinity SYS_sched_getparam SYS_sched_setparam SYS_sched_getscheduler SYS_sched_setscheduler
    SYS_sched_getattr SYS_sched_setattr SYS_sched_get_priority_min SYS_sched_get_priority_max
    SYS_sched_rr_get_interval SYS_getrandom
    // Time.
    SYS_gettimeofday SYS_clock_gettime SYS_clock_getres SYS_clock_nanosleep SYS_nanosleep SYS_getitimer
    SYS_setitimer SYS_timer_create SYS_timer_settime SYS_timer_gettime SYS_timer_getoverrun SYS_timer_delete
    // Sockets. `socket`, `socketpair` and `setsockopt` are inspected.
    SYS_bind SYS_listen SYS_accept SYS_accept4 SYS_connect SYS_getsockname SYS_getpeername SYS_getsockopt
    SYS_sendto SYS_recvfrom SYS_sendmsg SYS_recvmsg SYS_sendmmsg SYS_recvmmsg SYS_shutdown
};

/// Older names of the same, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_HERE: &[i64] = numbers! {
    SYS_open SYS_creat SYS_stat SYS_lstat SYS_access SYS_readlink SYS_getdents SYS_mkdir SYS_rmdir SYS_unlink
    SYS_rename SYS_link SYS_symlink SYS_mknod SYS_chmod SYS_chown SYS_lchown SYS_utime SYS_utimes SYS_futimesat
    SYS_dup2 SYS_pipe SYS_eventfd SYS_epoll_create SYS_epoll_wait SYS_poll SYS_select SYS_signalfd
    SYS_fork SYS_vfork SYS_getpgrp SYS_pause SYS_alarm SYS_time SYS_arch_prctl
};
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[i64] = &[];

/// Known to the kernel and refused as it would refuse an unprivileged process.
#[rustfmt::skip]
const REFUSED: &[i64] = numbers! {
    // New namespaces and mounts.
    SYS_unshare SYS_setns SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_open_tree SYS_move_mount SYS_fsopen
    SYS_fsconfig SYS_fsmount SYS_fspick SYS_mount_setattr
    // The memory and descriptors of others.
    SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_process_madvise SYS_process_mrelease SYS_kcmp
    SYS_pidfd_getfd
    // Wide kernel interfaces.
    SYS_bpf SYS_userfaultfd SYS_perf_event_open SYS_fanotify_init SYS_fanotify_mark
    SYS_add_key SYS_request_key SYS_keyctl SYS_name_to_handle_at SYS_open_by_handle_at SYS_quotactl SYS_lookup_dcookie
    SYS_mbind SYS_set_mempolicy SYS_migrate_pages SYS_move_pages
    // The machine.
    SYS_kexec_load SYS_init_module SYS_finit_module SYS_delete_module SYS_reboot SYS_swapon SYS_swapoff SYS_syslog
    SYS_acct SYS_sethostname SYS_setdomainname SYS_settimeofday SYS_clock_settime SYS_adjtimex SYS_clock_adjtime
    SYS_vhangup SYS_nfsservctl
};

#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] =
    numbers! { SYS_iopl SYS_ioperm SYS_modify_ldt SYS_kexec_file_load SYS_uselib SYS_ustat SYS_sysfs };
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// Newer than the names in the C library's headers: `map_shadow_stack`, `futex_wake`, `futex_wait`, `futex_requeue`.
const ALLOWED_UNNAMED: &[i64] = &[453, 454, 455, 456];

/// Every rule; a call appears once.
pub(super) fn rules() -> Vec<(i64, Verdict)> {
    let allowed = ALLOWED.iter().chain(ALLOWED_HERE).chain(ALLOWED_UNNAMED).map(|number| (*number, Verdict::Allow));
    let refused = REFUSED.iter().chain(REFUSED_HERE).map(|number| (*number, Verdict::Errno(libc::EPERM)));
    allowed.chain(refused).chain(inspected()).collect()
}
