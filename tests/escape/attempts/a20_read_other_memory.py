"""Read the memory of pid 1 and of the parent, by process_vm_readv and by /proc."""

import ctypes
import os

from kit import barred, every, in_child, refused, syscall

CONTROL = "root"


def attempt(event):
    def vm_read(pid):
        room = ctypes.create_string_buffer(8)
        address = ctypes.addressof(room)
        vector = (ctypes.c_uint64 * 2)(address, 8)
        return syscall(310, pid, vector, 1, vector, 1, 0)

    return every(
        [
            in_child(lambda: refused("process_vm_readv the parent", vm_read(os.getppid()))),
            in_child(lambda: refused("process_vm_readv pid 1", vm_read(1))),
            in_child(lambda: barred("open /proc/1/mem", lambda: os.open("/proc/1/mem", os.O_RDWR))),
        ]
    )
