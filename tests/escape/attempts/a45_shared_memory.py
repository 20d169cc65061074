"""Attach the host's shared memory: a System V segment by its key and a file of /dev/shm."""

import os
from errno import ENOENT

from kit import NOT_THERE, REFUSED, barred, every, in_child, refused, syscall

CONTROL = "any"


def attempt(event):
    return every(
        [
            in_child(lambda: refused("shmget", syscall(29, event["decoy_shm"], 0, 0), REFUSED | {ENOENT})),
            barred("/dev/shm", lambda: os.stat(f"/dev/shm/{event['decoy_word']}"), NOT_THERE),
        ]
    )
