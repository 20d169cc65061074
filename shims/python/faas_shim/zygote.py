"""The process that is forked to become instances. It loads the shim and runs nobody's code.

The server asks for a fork on descriptor 3, with the arguments of the program that the fork stands for and the
descriptors that it gets. The fork goes through three processes:
the first joins the sandbox's cgroups and namespaces, which changes only what its children are; the second is such a
child; the third loses its parent at once, so that it becomes a child of the sandbox's first process. Only the third
goes on, as weak as a program that is started inside: the server sends user, securebits and filter in its first message,
so that both are made of the same numbers.
"""

from __future__ import annotations

import gc
import posix
import sys
from _signal import SIG_DFL, SIG_IGN, SIGCHLD, signal
from _socket import AF_UNIX, CMSG_SPACE, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOCK_SEQPACKET, SOL_SOCKET, socket
from _struct import Struct, calcsize, iter_unpack
from ctypes import CDLL, Structure, addressof, byref, c_uint32, c_ulong, c_ushort, c_void_p, create_string_buffer

from .rehearsal import rehearse

CONTROL_FD = 3
FDS_MAX = 24
MESSAGE_MAX = 64 << 10
# Of `linux/sched.h`: mount, cgroup, UTS, IPC, user, process and network namespaces.
NAMESPACES = 0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_SECUREBITS = 4, 22, 24, 28
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
SECCOMP_MODE_FILTER = 2
CAPABILITIES_MAX = 64
CAPABILITY_VERSION_3 = 0x2008_0522
EINVAL = 22

HEAD = Struct("=II")
LIBC = CDLL(None)


class FilterProgram(Structure):
    """`struct sock_fprog`."""

    _fields_ = [("length", c_ushort), ("instructions", c_void_p)]


class Weakness:
    """What a fork must become."""

    __slots__ = ("user", "securebits", "instructions", "program")

    def __init__(self, message: bytes) -> None:
        self.user, self.securebits = HEAD.unpack_from(message)
        instructions = message[HEAD.size :]
        self.instructions = create_string_buffer(instructions, len(instructions))
        self.program = FilterProgram(len(instructions) // 8, addressof(self.instructions))


def serve() -> list[str]:
    """Forks until the server goes away. Returns only in a fork, which is then to become an instance: the arguments of
    the program that it stands for."""
    control = socket(AF_UNIX, SOCK_SEQPACKET, 0, CONTROL_FD)
    weakness = Weakness(control.recv(MESSAGE_MAX))
    # Reaped by the kernel at once: a fork that has done its part must not count in the sandbox's cgroup.
    signal(SIGCHLD, SIG_IGN)
    rehearse()
    # Loading a function has frozen what there was, garbage too.
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    while True:
        message, ancillary, _, _ = control.recvmsg(MESSAGE_MAX, CMSG_SPACE(FDS_MAX * calcsize("i")), MSG_CMSG_CLOEXEC)
        fds = [
            fd for level, kind, data in ancillary if (level, kind) == (SOL_SOCKET, SCM_RIGHTS) for fd in _numbers(data)
        ]
        if not message:
            posix._exit(0)
        if _fork() == 0:
            control.detach()
            _become(fds, weakness)
            return message.decode().split("\0")
        for fd in fds:
            posix.close(fd)


def _numbers(data: bytes) -> list[int]:
    return [number for (number,) in iter_unpack("i", data[: len(data) - len(data) % 4])]


def _fork() -> int:
    """Like fork, but a refusal only costs this fork: the sandbox sees its door close."""
    try:
        return posix.fork()
    except OSError:
        return -1


def _become(fds: list[int], weakness: Weakness) -> None:
    """Returns as the program of the sandbox. Whatever fails ends the process: the sandbox sees its door close."""
    signal(SIGCHLD, SIG_DFL)
    try:
        first, channel, stdout, stderr, door, *entrances = fds
        _enter(first, door, entrances)
        posix.setsid()
        posix.umask(0o022)
        _take_places(channel, stdout, stderr, door)
        _weaken(weakness)
        posix.write(4, posix.getpid().to_bytes(4, sys.byteorder))
        posix.close(4)
    except BaseException:
        posix._exit(125)


def _enter(first: int, door: int, entrances: list[int]) -> None:
    for entrance in entrances:
        posix.write(entrance, b"0")
    if posix.read(door, 1) != b"\x01":
        posix._exit(125)
    _must(LIBC.setns(first, NAMESPACES))
    child = posix.fork()
    if child:
        # Nobody else would, where the first process of the machine is a server that does not reap.
        posix.waitpid(child, 0)
        posix._exit(0)
    if posix.fork():
        posix._exit(0)
    # The first process ends the sandbox when it has no child left, so it must have this one before anybody counts
    # on it.
    while posix.getppid() != 1:
        posix.sched_yield()


def _take_places(channel: int, stdout: int, stderr: int, door: int) -> None:
    """Descriptors 0 to 3 as of any program inside, 4 the door, and nothing else."""
    null = posix.open("/dev/null", posix.O_RDWR)
    # Out of the way of each other: what comes with a message may have any number.
    high = [posix.dup(fd) for fd in (null, stdout, stderr, channel, door)]
    while min(high) < 5:
        high = [posix.dup(fd) for fd in high]
    for number, fd in enumerate(high):
        posix.dup2(fd, number, inheritable=number < 3)
    posix.closerange(5, 1 << 20)


def _weaken(weakness: Weakness) -> None:
    user = weakness.user
    posix.setresgid(user, user, user)
    posix.setresuid(user, user, user)
    for capability in range(CAPABILITIES_MAX):
        if LIBC.prctl(PR_CAPBSET_DROP, c_ulong(capability), *_zeros(3)) != 0:
            if capability == 0:
                raise OSError("the bounding set cannot be emptied")
            # Past the last one that this kernel knows.
            break
    _must(LIBC.prctl(PR_CAP_AMBIENT, c_ulong(PR_CAP_AMBIENT_CLEAR_ALL), *_zeros(3)))
    _must(LIBC.prctl(PR_SET_SECUREBITS, c_ulong(weakness.securebits), *_zeros(3)))
    _must(LIBC.capset((c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (c_uint32 * 6)()))
    # As after an exec; the change of the user has switched it off, and /proc/self with it.
    _must(LIBC.prctl(PR_SET_DUMPABLE, c_ulong(1), *_zeros(3)))
    _must(LIBC.prctl(PR_SET_NO_NEW_PRIVS, c_ulong(1), *_zeros(3)))
    _must(LIBC.prctl(PR_SET_SECCOMP, c_ulong(SECCOMP_MODE_FILTER), byref(weakness.program), *_zeros(2)))


def _zeros(count: int) -> list[c_ulong]:
    return [c_ulong(0)] * count


def _must(result: int) -> None:
    if result != 0:
        raise OSError("a fork could not be confined")
