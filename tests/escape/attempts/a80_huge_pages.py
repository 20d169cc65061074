"""Take the huge pages that the machine has reserved, which no limit of a function counts."""

import ctypes
import mmap

from kit import barred, every, in_child, refused, syscall

MAP_HUGETLB, MFD_HUGETLB, SHM_HUGETLB = 0x40000, 4, 0o4000
TWO_MB = 2 << 20


def attempt(event):
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_HUGETLB
    return every(
        [
            in_child(lambda: barred("mmap", lambda: mmap.mmap(-1, TWO_MB, flags))),
            in_child(lambda: refused("memfd_create", syscall(319, ctypes.create_string_buffer(b"huge"), MFD_HUGETLB))),
            in_child(lambda: refused("shmget", syscall(29, 0, TWO_MB, SHM_HUGETLB | 0o1600))),
        ]
    )
