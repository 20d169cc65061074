"""Read the memory of every process there is to see, of pid 1 and of the parent, by process_vm_readv and by /proc."""

import ctypes
import errno
import os

from kit import REFUSED, barred, every, in_child, refused, syscall

CONTROL = "root"
# A process that /proc does not show cannot be read there.
HIDDEN = REFUSED | {errno.ENOENT}


def attempt(event):
    def vm_read(pid):
        room = ctypes.create_string_buffer(8)
        address = ctypes.addressof(room)
        vector = (ctypes.c_uint64 * 2)(address, 8)
        return syscall(310, pid, vector, 1, vector, 1, 0)

    def open_memory(pid):
        return barred(f"open /proc/{pid}/mem", lambda: os.open(f"/proc/{pid}/mem", os.O_RDWR), HIDDEN)

    own = os.getpid()
    visible = {int(name) for name in os.listdir("/proc") if name.isdigit()} - {own}
    others = sorted(visible | {1, os.getppid()} - {0, own})
    return every(
        [in_child(lambda: refused("process_vm_readv the parent", vm_read(os.getppid())))]
        + [in_child(lambda: refused("process_vm_readv pid 1", vm_read(1)))]
        + [in_child(lambda pid=pid: open_memory(pid)) for pid in others]
    )
