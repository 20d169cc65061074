//! A guest that is forked, after the protocol that shims follow.

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

const CONTROL: i32 = 3;

/// What a fork must become.
struct Weakness {
    user: u32,
    securebits: u32,
    filter: Vec<u8>,
}

/// Forks on demand. Returns in a fork that is to become a guest; a deaf one only takes what it is sent.
pub(crate) fn serve(deaf: bool) {
    // SAFETY: descriptor 3 is the channel; a fork replaces it.
    let control = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(CONTROL) });
    let Ok((weakness, _)) = take(control.as_fd()) else { std::process::exit(1) };
    let number = |at: usize| u32::from_ne_bytes([weakness[at], weakness[at + 1], weakness[at + 2], weakness[at + 3]]);
    let weakness = Weakness { user: number(0), securebits: number(4), filter: weakness[8..].to_vec() };
    // SAFETY: no handler is installed. Who has done its part counts as a process until it is reaped: now at once.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    loop {
        let Ok((message, fds)) = take(control.as_fd()) else { std::process::exit(1) };
        if message.is_empty() {
            std::process::exit(0);
        }
        if deaf {
            continue;
        }
        // SAFETY: this program has one thread.
        if unsafe { libc::fork() } == 0 {
            match become_guest(fds, &weakness) {
                Ok(()) => return,
                // SAFETY: ends the process.
                Err(_) => unsafe { libc::_exit(125) },
            }
        }
    }
}

fn take(socket: BorrowedFd<'_>) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; 64 << 10];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(24))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let length = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
    bytes.truncate(length);
    let fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    Ok((bytes, fds.flatten().collect()))
}

fn become_guest(fds: Vec<OwnedFd>, weakness: &Weakness) -> Result<()> {
    let mut fds = fds.into_iter();
    let mut next = || fds.next().context("too few descriptors");
    let (first, channel, stdout, stderr, door) = (next()?, next()?, next()?, next()?, File::from(next()?));
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    for entrance in fds {
        File::from(entrance).write_all(b"0")?;
    }
    (&door).read_exact(&mut [0])?;
    let all = libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET;
    // SAFETY: none of these calls touches memory; this program has one thread.
    unsafe {
        ensure!(libc::setns(first.as_raw_fd(), all) == 0, "setns");
        let child = libc::fork();
        if child != 0 {
            libc::waitpid(child, std::ptr::null_mut(), 0);
            libc::_exit(0);
        }
        if libc::fork() != 0 {
            libc::_exit(0);
        }
        libc::setsid();
        libc::umask(0o022);
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        let places = [null, stdout.as_raw_fd(), stderr.as_raw_fd(), channel.as_raw_fd(), door.as_raw_fd()];
        let high = places.map(|fd| libc::fcntl(fd, libc::F_DUPFD, 32));
        for (number, fd) in (0..).zip(high) {
            ensure!(libc::dup2(fd, number) == number, "dup2");
        }
        libc::close_range(5, u32::MAX, 0);
    }
    // Closed above, or replaced.
    std::mem::forget((first, channel, stdout, stderr, door));
    weaken(weakness)?;
    // SAFETY: descriptor 4 was made above.
    let mut door = unsafe { File::from_raw_fd(4) };
    door.write_all(&std::process::id().to_ne_bytes())?;
    Ok(())
}

fn weaken(weakness: &Weakness) -> Result<()> {
    let user = weakness.user;
    let filter: Vec<libc::sock_filter> = weakness
        .filter
        .chunks_exact(8)
        .map(|one| libc::sock_filter {
            code: u16::from_ne_bytes([one[0], one[1]]),
            jt: one[2],
            jf: one[3],
            k: u32::from_ne_bytes([one[4], one[5], one[6], one[7]]),
        })
        .collect();
    let program = libc::sock_fprog { len: u16::try_from(filter.len())?, filter: filter.as_ptr().cast_mut() };
    let header: [u32; 2] = [0x2008_0522, 0];
    let sets = [0_u32; 6];
    // SAFETY: what the pointers refer to lives until the calls return.
    unsafe {
        ensure!(libc::setresgid(user, user, user) == 0 && libc::setresuid(user, user, user) == 0, "user");
        for capability in 0..64 {
            if libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 {
                break;
            }
        }
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        ensure!(libc::prctl(libc::PR_SET_SECUREBITS, u64::from(weakness.securebits), 0, 0, 0) == 0, "securebits");
        ensure!(libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) == 0, "capabilities");
        ensure!(libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) == 0, "dumpable");
        ensure!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
        ensure!(libc::prctl(libc::PR_SET_SECCOMP, 2, &raw const program, 0, 0) == 0, "filter");
    }
    Ok(())
}
