"""Sends the records of the `logging` package to the run's log."""

from __future__ import annotations

import logging

from . import logs


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
    """Sets the root logger to INFO and this handler. `basicConfig` then adjusts it instead of doing nothing."""
    root = logging.getLogger()
    handler = SinkHandler(sink)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    original = logging.basicConfig

    def basic_config(**options: object) -> None:
        if root.handlers != [handler] or options.keys() & {"force", "handlers", "filename", "stream"}:
            original(**options)  # type: ignore[arg-type]
            return
        if options.get("level") is not None:
            root.setLevel(options["level"])  # type: ignore[arg-type]
        if options.get("format") is not None:
            style = str(options.get("style", "%"))
            handler.setFormatter(logging.Formatter(options["format"], options.get("datefmt"), style))  # type: ignore[arg-type]

    logging.basicConfig = basic_config  # type: ignore[assignment]
