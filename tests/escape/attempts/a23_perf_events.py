"""Watch the machine's performance counters."""

import ctypes

from kit import in_child, refused, syscall


def attempt(event):
    # PERF_TYPE_SOFTWARE, size of version 0, PERF_COUNT_SW_CPU_CLOCK, of this process.
    attributes = ctypes.create_string_buffer(128)
    ctypes.memmove(attributes, (ctypes.c_uint32 * 2)(1, 64), 8)
    return in_child(lambda: refused("perf_event_open", syscall(298, attributes, 0, -1, -1, 0)))
