"""Crash so that the host's core dump program starts, which runs outside and reads what is left of the crash.

A pipe in the host's `core_pattern` is followed at a limit of 0; only at 1 the kernel refuses. So the limit must be 1
and stay there. An ordinary user whose own limit is 0 cannot have it raised.
"""

import ctypes

from kit import denied, escaped, every, in_child, refused, syscall

CONTROL = "root"
CORE = 4


def attempt(event):
    with open("/proc/self/limits") as limits:
        size = next(line.split()[4:6] for line in limits if line.startswith("Max core file size"))
    if size != ["1", "1"] and (event["core_hard"] != 0 or size != ["0", "0"]):
        return escaped(f"the limit is {size}")
    zero = (ctypes.c_uint64 * 2)(0, 0)
    high = CORE | 1 << 32
    return every(
        [
            in_child(lambda: refused("setrlimit", syscall(160, CORE, zero))),
            in_child(lambda: refused("prlimit64", syscall(302, 0, CORE, zero, 0))),
            in_child(lambda: refused("prlimit64, high bits", syscall(302, 0, high, zero, 0))),
            denied(f"stays {size}"),
        ]
    )
