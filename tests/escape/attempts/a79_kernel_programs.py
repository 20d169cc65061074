"""Load filters of sockets and system calls: their compiled programs share one allowance of the whole machine, and where
it is used up no sandbox can be opened."""

import ctypes
import socket
import struct

from kit import denied, escaped, every, in_child, libc, refused, syscall

CONTROL = "any"
ALLOW_ALL = struct.pack("HBBI", 6, 0, 0, 0x7FFF_0000)
OPTIONS = {"SO_ATTACH_FILTER": 26, "SO_ATTACH_REUSEPORT_CBPF": 51}
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 38, 22


def attempt(event):
    code = ctypes.create_string_buffer(ALLOW_ALL, len(ALLOW_ALL))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 1, ctypes.addressof(code)))
    here = ctypes.addressof(program)

    def attach(name):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            fd = tried.fileno()
            return refused(name, syscall(54, fd, socket.SOL_SOCKET, OPTIONS[name], here, 16))

    def control():
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        worked = libc.prctl(PR_SET_SECCOMP, 2, ctypes.c_void_p(here), 0, 0) == 0
        return escaped("another filter") if worked else denied(f"prctl: errno {ctypes.get_errno()}")

    return every(
        [
            *(in_child(lambda n=n: attach(n)) for n in OPTIONS),
            in_child(control),
            in_child(lambda: refused("seccomp", syscall(317, 1, 0, here))),
        ]
    )
