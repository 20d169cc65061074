"""The life of an instance: say hello, take init, load the user's code, serve."""

from __future__ import annotations

import posix
import sys

from . import environment, errors, jsons, logs
from .contracts import ASGI, read
from .function import Function
from .loading import Offer, load
from .protocol import FAILED, HELLO, INIT, PROTOCOL_VERSION, READY, Channel, ChannelClosed, pack
from .sync_loop import SyncLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .async_loop import AsyncLoop


def main(waits: bool = False) -> None:
    """Serves the code in the directory that is the first argument. What goes wrong is told to the server."""
    code = sys.argv.pop(1)
    channel = Channel()
    posix.set_inheritable(3, False)
    try:
        if waits:
            from .rehearsal import rehearse

            rehearse()
        version = ".".join(str(part) for part in sys.version_info[:3])
        channel.send(pack(HELLO, 0, jsons.encode_frame({"protocol": PROTOCOL_VERSION, "runtime": version})))
        offer = Offer()
        _guard_forks(channel, offer)
        sink, loop = open_function(channel, code, offer)
        if loop is not None:
            offer.loop = loop
            loop.run()
            from .ending import leave

            leave(sink)
    except ChannelClosed:
        # Whoever could be told is gone.
        posix._exit(0)


def open_function(channel: Channel, code: str, offer: Offer) -> tuple[logs.Sink, SyncLoop | AsyncLoop | None]:
    """Takes init and loads the function that it names from the directory `code`. No loop: it did not load."""
    init = _init(channel)
    init["code"] = code
    # Of a process that waited, the directory that it saw at its start is hidden by now.
    posix.chdir(code)
    sink = logs.Sink(channel, init["log_bytes"], init["log_line"])
    logs.install(sink)
    sys.meta_path.append(offer)  # type: ignore[arg-type]
    environment.apply(init["vars"])
    return sink, _load(channel, sink, init)


def _init(channel: Channel) -> dict:
    parts: list[bytes] = []
    while True:
        kind, end, _, payload = channel.receive()
        if kind != INIT:
            raise ChannelClosed
        parts.append(payload)
        if end:
            return jsons.decode(b"".join(parts))  # type: ignore[return-value]


def _load(channel: Channel, sink: logs.Sink, init: dict) -> SyncLoop | AsyncLoop | None:
    """Imports the user's code and answers init; None when it does not load."""
    loop: SyncLoop | AsyncLoop
    try:
        entrypoint = init["entrypoint"]
        if "debugger" in init:
            from .debugger import let_in

            let_in(channel, init["debugger"], init["code"])
        bytecode = None
        if init.get("bytecode"):
            from .bytecode import Bytecode

            bytecode = Bytecode(init["code"])
        contract = read(load(entrypoint, init), entrypoint.rpartition(":")[2])
        if bytecode is not None:
            # While a deployment is checked, its author reads along.
            doubt = contract.doubt(entrypoint.rpartition(":")[2])
            if doubt:
                print(doubt, file=sys.stderr)
            bytecode.send(channel)
        function = Function(contract, init)
        if contract.is_async:
            from .async_loop import AsyncLoop

            loop = AsyncLoop(channel, sink, function)
            loop.start()
        else:
            loop = SyncLoop(channel, sink, function)
    except ChannelClosed:
        raise
    except BaseException as error:
        sink.finish(sink.instance)
        described = errors.describe(error, init["code"])
        sink.channel.send(sink.take() + pack(FAILED, 0, jsons.encode_frame(described)))
        return None
    sink.finish(sink.instance)
    _freeze()
    concurrency = init["concurrency"] if contract.is_async else 1
    ready = {
        "protocol": PROTOCOL_VERSION,
        "contract": contract.shown(),
        "concurrency": concurrency,
        "streams": contract.kind == ASGI,
    }
    sink.channel.send(sink.take() + pack(READY, 0, jsons.encode_frame(ready)))
    return loop


def _guard_forks(channel: Channel, offer: Offer) -> None:
    """A forked child must not speak on its parent's channel; what it prints goes to the pipes."""

    pipes = sys.__stdout__, sys.__stderr__

    def in_child() -> None:
        channel.close()
        offer.loop = None
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = pipes  # type: ignore[misc]
        for pipe in pipes:
            if pipe is not None:
                # A child often ends by a signal or by `os._exit`, which send nothing that waits in a buffer.
                pipe.reconfigure(line_buffering=True)  # type: ignore[attr-defined]

    posix.register_at_fork(after_in_child=in_child)


def _freeze() -> None:
    """Keeps the collector from walking over what will live as long as the instance."""
    import gc

    gc.freeze()
