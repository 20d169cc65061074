"""Loads and calls a function for practice, so that the first real one meets nothing for the first time.

What a process does for the first time costs more: modules are loaded, the interpreter's caches are filled, and a fork
copies the memory that it writes to, page by page. Here that happens before the process is anybody's: in a zygote for
all its forks, and once more in a fork that will wait, because a fork copies a page when it writes to it.

The function is the shim's own, in `sample/`. It goes the way of any other, over a socket with both ends here.
Afterwards the process is as before, but for modules of the shim that stay loaded.
"""

from __future__ import annotations

import posix
import sys
from _socket import AF_UNIX, SHUT_WR, SOCK_STREAM, socket, socketpair

from . import environment, jsons
from .loading import Offer
from .main import open_function
from .protocol import (
    BODY,
    HEADER,
    HEADER_LEN,
    INIT,
    INVOKE,
    LOG,
    PROTOCOL_VERSION,
    READY,
    REPLY,
    Channel,
    ChannelClosed,
    pack,
)

CODE = __file__.rpartition("/")[0] + "/sample"
MODULE = "faas_sample"
# The names that the real `init` sets as well.
VARIABLES = {"FAAS_FUNCTION": "sample", "FAAS_VERSION": "1", "FAAS_RUNTIME": "python"}
TAKES_EVENT = {
    "protocol": PROTOCOL_VERSION,
    "entrypoint": f"{MODULE}:takes_event",
    "function": "sample",
    "version": 1,
    "memory_mb": 128,
    "concurrency": 1,
    "vars": VARIABLES,
    "log_bytes": 1 << 20,
    "log_line": 16 << 10,
    "body_max": 6 << 20,
    "layers": [],
}
TAKES_NAMES = {**TAKES_EVENT, "entrypoint": f"{MODULE}:takes_names"}
CALL = {
    "run": "01J00000000000000000000000",
    "method": "POST",
    "path": "/",
    "query": "",
    "headers": [["content-type", "application/json"], ["host", "localhost"], ["user-agent", "sample"]],
    "deadline": 0,
}
VALUE = {"name": "sample", "number": 1, "ratio": 0.5, "items": [True, None]}


class RehearsalFailed(Exception):
    """The sample did not load, or a call of it failed."""


def rehearse() -> None:
    """Raises when anything goes wrong: such a process would serve no function."""
    path, finders, directory = sys.path[:], sys.meta_path[:], posix.getcwd()
    streams = sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__
    for init in (TAKES_EVENT, TAKES_NAMES):
        try:
            _perform(init)
        finally:
            sys.path[:], sys.meta_path[:] = path, finders
            sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__ = streams  # type: ignore[misc]
            posix.chdir(directory)
        for name in VARIABLES:
            environment.take_back(name)
        del sys.modules[MODULE], sys.path_importer_cache[CODE]


def _perform(init: dict) -> None:
    ours, theirs = socketpair(AF_UNIX, SOCK_STREAM, 0)
    channel = Channel(ours.detach())
    theirs.sendall(pack(INIT, 0, jsons.encode(init), end=True))
    _, loop = open_function(channel, CODE, Offer())
    if loop is not None:
        _compile()
        theirs.sendall(pack(INVOKE, 1, jsons.encode(CALL)) + pack(BODY, 1, jsons.encode(VALUE), end=True))
        theirs.shutdown(SHUT_WR)
        try:
            loop.run()
            raise RehearsalFailed("the loop ended by itself")
        except ChannelClosed:
            # Nothing comes behind the call.
            channel.socket.close()
    _check(theirs)
    theirs.close()


def _compile() -> None:
    """Of the sample, the runtime's layer holds what was compiled; a small function is compiled when it is loaded."""
    loader = sys.modules[MODULE].__loader__
    path = loader.path  # type: ignore[union-attr]
    loader.source_to_code(loader.get_data(path), path)  # type: ignore[union-attr]


def _check(theirs: socket) -> None:
    answers = theirs.recv(64 << 10)
    kinds, at = [], 0
    while at < len(answers):
        length, kind, *_ = HEADER.unpack_from(answers, at)
        kinds.append(kind)
        at += HEADER_LEN + length
    if kinds != [READY, LOG, REPLY]:
        raise RehearsalFailed(answers)
