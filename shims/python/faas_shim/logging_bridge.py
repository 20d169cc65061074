"""Sends the records of the `logging` package to the run's log."""

from __future__ import annotations

import logging
import sys

from . import logs

# What the root logger is given otherwise cannot be said by a format.
_OTHERS = ("handlers", "filename")
_KNOWN = {"filename", "filemode", "format", "datefmt", "style", "level", "stream", "handlers", "force", "encoding"}
_KNOWN.add("errors")


class SinkHandler(logging.Handler):
    """The root logger's handler."""

    def __init__(self, sink: logs.Sink) -> None:
        super().__init__()
        self.sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception as error:
            text = f"{record.msg!r} (log record could not be formatted: {error})"
        number = record.levelno
        level = logs.ERROR if number >= 40 else logs.WARN if number >= 30 else logs.INFO if number >= 20 else logs.DEBUG
        self.sink.emit(self.sink.run_log(), level, logs.LOGGER, text)


def install(sink: logs.Sink) -> None:
    """Sets the root logger to INFO and this handler. `basicConfig` does what it does to a root logger without handlers,
    but keeps this one where records would go to the log anyway: it knows their levels."""
    root = logging.getLogger()
    handler = SinkHandler(sink)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    original = logging.basicConfig

    def basic_config(**options: object) -> None:
        is_ours = options.get("stream") in (None, sys.stdout, sys.stderr, *sink.streams)
        if options.keys() - _KNOWN or any(options.get(name) is not None for name in _OTHERS) or not is_ours:
            alone = root.handlers == [handler]
            if alone:
                root.removeHandler(handler)
            try:
                original(**options)  # type: ignore[arg-type]
            except BaseException:
                if alone:
                    root.handlers[:] = [handler]
                raise
            return
        if options.get("force"):
            for other in root.handlers[:]:
                root.removeHandler(other)
                if other is not handler:
                    other.close()
            root.addHandler(handler)
        if root.handlers != [handler]:
            return
        if options.get("format") is not None or options.get("datefmt") is not None:
            style = str(options.get("style", "%"))
            handler.setFormatter(logging.Formatter(options.get("format"), options.get("datefmt"), style))  # type: ignore[arg-type]
        if options.get("level") is not None:
            root.setLevel(options["level"])  # type: ignore[arg-type]

    logging.basicConfig = basic_config  # type: ignore[assignment]
