"""Open the host's System V queues and semaphores by key, and its POSIX queues by name."""

import ctypes
from errno import ENOENT

from kit import REFUSED, every, in_child, refused, syscall

CONTROL = "root"
ABSENT = REFUSED | {ENOENT}


def attempt(event):
    name = ctypes.c_char_p(event["decoy_word"].encode())
    return every(
        [
            in_child(lambda: refused("mq_open", syscall(240, name, 2, 0, 0), ABSENT)),
            in_child(lambda: refused("msgget", syscall(68, event["decoy_shm"], 0), ABSENT)),
            in_child(lambda: refused("semget", syscall(64, event["decoy_shm"], 0, 0), ABSENT)),
        ]
    )
