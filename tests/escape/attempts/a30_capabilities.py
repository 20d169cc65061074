"""Hold or gain a capability."""

import ctypes

from kit import denied, escaped, every, in_child, libc, refused, syscall

CONTROL = "root"
PR_CAP_AMBIENT, RAISE, NET_RAW = 47, 2, 13


def attempt(event):
    with open("/proc/self/status") as status:
        held = {line.split(":")[0]: line.split()[1] for line in status if line.startswith("Cap")}
    if any(int(value, 16) for value in held.values()):
        return escaped(f"holds {held}")
    header = (ctypes.c_uint32 * 2)(0x2008_0522, 0)
    wanted = (ctypes.c_uint32 * 6)(*[0xFFFF_FFFF] * 6)
    ambient = libc.prctl(PR_CAP_AMBIENT, RAISE, NET_RAW, 0, 0)
    return every(
        [
            in_child(lambda: refused("capset", syscall(126, header, wanted))),
            denied("ambient: refused") if ambient == -1 else escaped("an ambient capability was raised"),
        ]
    )
