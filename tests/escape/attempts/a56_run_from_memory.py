"""Run a program from memory with a set-user-id bit and file capabilities on it."""

import ctypes
import os
import sys

from kit import denied, escaped, every, in_child, syscall

CONTROL = "root"
AT_EMPTY_PATH = 0x1000
# Its three user ids, then its five capability sets.
ASK = (
    "import os; lines = open('/proc/self/status').readlines();"
    "print(*os.getresuid(), *(int(line.split()[1], 16) for line in lines if line.startswith('Cap')))"
)
# Version 2 of the attribute: effective, all capabilities permitted.
CAPABILITIES = bytes.fromhex("01000002") + b"\xff" * 4 + b"\0" * 4 + b"\xff" * 4 + b"\0" * 4


def attempt(event):
    return every([in_child(_attributes), _run_copy()])


def _attributes():
    path = f"/tmp/own-program-{os.getpid()}"
    open(path, "wb").close()
    for name in ("security.capability", "trusted.overlay.opaque"):
        try:
            os.setxattr(path, name, CAPABILITIES)
        except OSError:
            continue
        os.unlink(path)
        return escaped(f"{name} was set")
    return denied("no attribute of the kernel's could be set")


def _run_copy():
    fd = os.memfd_create("own", 0)
    with open(sys.executable, "rb") as program:
        os.sendfile(fd, program.fileno(), 0, 1 << 30)
    os.fchmod(fd, 0o6755)
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        os.dup2(write, 1)
        argv = (ctypes.c_char_p * 6)(sys.executable.encode(), b"-I", b"-S", b"-c", ASK.encode(), None)
        syscall(322, fd, ctypes.c_char_p(b""), argv, (ctypes.c_char_p * 1)(None), AT_EMPTY_PATH)
        os._exit(9)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = [int(word) for word in pipe.read().split()]
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not said:
        return denied(f"the copy did not run: {status}")
    users, sets = said[:3], said[3:]
    return escaped(f"the copy runs as {said}") if 0 in users or any(sets) else denied(f"the copy is {users}, {sets}")
