"""Install a filter that allows everything, or take the present one off."""

import ctypes

from kit import CLONE_NEWUSER, escaped, every, in_child, libc, refused, syscall

ALLOW_ALL = bytes.fromhex("06000000") + (0x7FFF0000).to_bytes(4, "little")
SET_MODE_STRICT, SET_MODE_FILTER, TSYNC = 0, 1, 1
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 38, 22


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def attempt(event):
    code = ctypes.create_string_buffer(ALLOW_ALL, 8)
    program = Program(1, ctypes.addressof(code))
    here = ctypes.addressof(program)

    def after(loosen):
        loosen()
        return refused("unshare afterwards", syscall(272, CLONE_NEWUSER))

    def unset():
        return escaped("no_new_privs was unset") if libc.prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 else after(int)

    return every(
        [
            in_child(lambda: after(lambda: syscall(317, SET_MODE_FILTER, 0, here))),
            in_child(lambda: after(lambda: syscall(317, SET_MODE_FILTER, TSYNC, here))),
            in_child(lambda: after(lambda: libc.prctl(PR_SET_SECCOMP, 2, ctypes.c_void_p(here), 0, 0))),
            in_child(unset),
        ]
    )
