"""Lets threads of an async function know the call that they work for, as their tasks know it from their context."""

from __future__ import annotations

import threading

from . import imports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import ContextVar

    from .logs import RunLog


def install(run: ContextVar[RunLog]) -> None:
    """Gives threads the log of the call that starts them, and the work of a pool that of the call that submits it."""
    start = threading.Thread.start

    def carrying_start(thread: threading.Thread) -> None:
        log = run.get(None)
        if log is not None:
            work = thread.run

            def carried() -> None:
                del thread.run  # type: ignore[method-assign]
                run.set(log)
                work()

            thread.run = carried  # type: ignore[method-assign]
        start(thread)

    threading.Thread.start = carrying_start  # type: ignore[method-assign]
    imports.after("concurrent.futures.thread", lambda module: _carry_through_pools(module, run))


def _carry_through_pools(module: object, run: ContextVar[RunLog]) -> None:
    pool = module.ThreadPoolExecutor  # type: ignore[attr-defined]
    submit = pool.submit

    def carried(log: RunLog, work, /, *arguments, **named):  # type: ignore[no-untyped-def]
        token = run.set(log)
        try:
            return work(*arguments, **named)
        finally:
            run.reset(token)

    def carrying_submit(self, work, /, *arguments, **named):  # type: ignore[no-untyped-def]
        log = run.get(None)
        if log is None or not log.stream:
            return submit(self, work, *arguments, **named)
        return submit(self, carried, log, work, *arguments, **named)

    pool.submit = carrying_submit
