"""The end of an instance that is no longer needed: what the user's code has registered for it runs first.

The server waits for some two seconds, and ends the process then.
"""

from __future__ import annotations

import posix
import sys
from _signal import SIGTERM, getsignal, raise_signal
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio

    from .asgi import Lifespan
    from .logs import Sink

# Together less than what the server waits.
TASKS_SECONDS = 1.0
THREADS_SECONDS = 0.5
# Rounds of an event loop from a signal to the tasks that its handler starts.
SIGNAL_ROUNDS = 4


def notify() -> None:
    """Sends this process SIGTERM if the code listens to it; otherwise the signal would end it at once."""
    if callable(getsignal(SIGTERM)):
        try:
            raise_signal(SIGTERM)
        except SystemExit:
            pass
        except BaseException:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]


async def close(loop: asyncio.AbstractEventLoop, lifespan: Lifespan | None) -> None:
    """Ends what runs on an event loop: handlers of the signal, the application, tasks, generators."""
    import asyncio

    before = asyncio.all_tasks()
    notify()
    for _ in range(SIGNAL_ROUNDS):
        await asyncio.sleep(0)
    started = asyncio.all_tasks() - before
    if started:
        await asyncio.wait(started, timeout=TASKS_SECONDS)
    if lifespan is not None:
        await lifespan.shutdown()
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest, timeout=TASKS_SECONDS)
    await loop.shutdown_asyncgens()


def leave(sink: Sink) -> None:
    """Runs what was registered with `atexit`, sends the last lines and ends the process."""
    try:
        _end_threads()
        from atexit import _run_exitfuncs

        _run_exitfuncs()
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    try:
        sink.finish(sink.instance)
        sink.channel.send(sink.take())
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
    finally:
        posix._exit(0)


def _end_threads() -> None:
    """Waits a moment for threads, as the interpreter does at its end for as long as they like."""
    threading = sys.modules.get("threading")
    if threading is None:
        return
    hooks = [*reversed(getattr(threading, "_threading_atexits", ()))]
    if hooks:
        # Executors end their workers here, and wait for them.
        threading.Thread(target=lambda: [hook() for hook in hooks], daemon=True).start()
    end = monotonic() + THREADS_SECONDS
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join(max(0.0, end - monotonic()))
