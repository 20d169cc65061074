"""Rename the host and set its clocks."""

import ctypes

from kit import every, in_child, refused, syscall


def attempt(event):
    zero = (ctypes.c_int64 * 2)(0, 0)
    name = ctypes.c_char_p(b"attempt")
    # Mode ADJ_FREQUENCY with a frequency of 0: adjusting nothing (mode 0) would only read.
    timex = ctypes.create_string_buffer(208)
    ctypes.memmove(timex, ctypes.byref(ctypes.c_uint32(0x0002)), 4)
    return every(
        [
            in_child(lambda: refused("sethostname", syscall(170, name, 7))),
            in_child(lambda: refused("setdomainname", syscall(171, name, 7))),
            in_child(lambda: refused("settimeofday", syscall(164, zero, 0))),
            in_child(lambda: refused("clock_settime", syscall(227, 0, zero))),
            in_child(lambda: refused("adjtimex", syscall(159, timex))),
        ]
    )
