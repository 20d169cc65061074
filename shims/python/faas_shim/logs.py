"""What user code prints and logs, cut into lines and sent as log frames that name their run."""

from __future__ import annotations

import sys
from _thread import RLock, allocate_lock, start_new_thread
from time import sleep, time

from .jsons import utf8
from .protocol import LOG, Channel, ChannelClosed, Struct

DEBUG, INFO, WARN, ERROR = 0, 1, 2, 3
STDOUT, STDERR, LOGGER = 0, 1, 2
# What a line takes of the budget besides its text; the server counts alike.
LINE_COST = 64
TICK_SECONDS = 0.02
CUT_MARK = " [cut]"
WHOLE, UNFINISHED = 0, 1

_HEAD = Struct("<IBBHIBBHQ")
_FIXED_LEN = 12


class RunLog:
    """The log of one run, or of the instance (stream 0): what it may still write, and its unfinished lines."""

    __slots__ = ("stream", "left", "dropped", "partial", "skipping", "rest")

    def __init__(self, stream: int, budget: int) -> None:
        self.stream = stream
        self.left = budget
        self.dropped = 0
        self.partial = ["", ""]
        self.skipping = [False, False]
        # The beginning of a character whose other bytes have not been written, by origin.
        self.rest: dict[int, bytes] | None = None


class Sink:
    """Sends each line when it is written: a process that is killed has no time to send what it gathered. An unfinished
    line goes with `flush`, and within a tick without it."""

    def __init__(self, channel: Channel, budget: int, line_max: int) -> None:
        self.channel = channel
        self.budget = budget
        self.line_max = line_max
        self.instance = RunLog(0, budget)
        self.current = self.instance
        self.pending: list[bytes] = []
        # Held while unfinished lines change: the ticking thread takes them. Signal handlers may print as well.
        self.guard = RLock()
        self.unfinished: set[RunLog] = set()
        self.armed = False
        self.gate = allocate_lock()
        self.gate.acquire()
        self.ticking = False
        self.streams: tuple[object, object] = (None, None)

    def run_log(self) -> RunLog:
        """The log of the run that is writing. One at a time here; the event loop looks into the context."""
        return self.current

    def emit(self, log: RunLog, level: int, origin: int, text: str, state: int = WHOLE, now: bool = True) -> None:
        """Adds one line, or the beginning of one. Not `now` leaves it to the sender of the run's end."""
        if log.left <= 0:
            log.dropped += state == WHOLE
            return
        if len(text) > self.line_max:
            text = text[: self.line_max - len(CUT_MARK)] + CUT_MARK
        data = utf8(text)
        if len(data) > self.line_max:
            data = data[: self.line_max - len(CUT_MARK)].decode("utf-8", "ignore").encode() + CUT_MARK.encode()
        log.left -= len(data) + (LINE_COST if state == WHOLE else 0)
        head = _HEAD.pack(_FIXED_LEN + len(data), LOG, 0, 0, log.stream, level, origin, state, int(time() * 1000))
        self.pending.append(head + data)
        if now:
            self.flush()
            if self.pending:
                self.arm()

    def emit_error(self, error: BaseException, code: str) -> None:
        """An exception that is nobody's reply, with its stack."""
        from .errors import describe

        told = describe(error, code)
        lines: list[str] = [f"{told['type']}: {told['message']}"]
        if told.get("stack"):
            lines += ["Traceback (most recent call last):", *told["stack"]]  # type: ignore[misc]
        for line in "\n".join(lines).split("\n"):
            self.emit(self.run_log(), ERROR, STDERR, line)

    def take(self) -> bytes:
        """All pending frames, for a sender that has more to say."""
        if not self.pending:
            return b""
        pending, self.pending = self.pending, []
        return b"".join(pending)

    def flush(self) -> None:
        """Sends what is pending, or leaves it to the next flush when another thread is sending."""
        if self.pending:
            try:
                self.channel.send_pending(self)
            except ChannelClosed:
                # The loop that reads finds out by itself; a print is not to fail for it.
                self.pending = []

    def begin(self, stream: int) -> RunLog:
        """The log of a new run. What is written outside runs gets a fresh allowance."""
        self.instance.left = self.budget
        return RunLog(stream, self.budget)

    def hold(self, log: RunLog) -> None:
        """A line of this log waits for its end; within a tick its beginning is sent."""
        self.unfinished.add(log)
        if not self.armed:
            self.arm()

    def hand_over(self, log: RunLog, origin: int) -> None:
        """Sends the beginning of a line, so that it is kept if the process does not come to write the rest."""
        with self.guard:
            text = log.partial[origin]
            if text:
                log.partial[origin] = ""
                self.emit(log, INFO if origin == STDOUT else WARN, origin, text, UNFINISHED)

    def finish(self, log: RunLog) -> None:
        """Ends a run's unfinished lines. What its leftovers write afterwards, such as a task that nobody awaited, is
        the instance's."""
        if sys.stdout is not self.streams[0] or sys.stderr is not self.streams[1]:
            _flush_stand_ins()
        if log.rest or log.partial[STDOUT] or log.partial[STDERR]:
            self._end_lines(log)
        log.skipping[STDOUT] = log.skipping[STDERR] = False
        log.stream = 0

    def _end_lines(self, log: RunLog) -> None:
        with self.guard:
            for origin in (STDOUT, STDERR):
                text = log.partial[origin]
                if log.rest and log.rest.pop(origin, b""):
                    text += "\ufffd"
                if text:
                    log.partial[origin] = ""
                    self.emit(log, INFO if origin == STDOUT else WARN, origin, text, WHOLE, now=False)
            self.unfinished.discard(log)

    def arm(self) -> None:
        """Sees to it that what is pending goes out within a tick, even when the handler sleeps."""
        self.armed = True
        if not self.ticking:
            self.ticking = True
            start_new_thread(self._tick, ())
        if self.gate.locked():
            self.gate.release()

    def _tick(self) -> None:
        while True:
            self.gate.acquire()
            sleep(TICK_SECONDS)
            self.armed = False
            unfinished, self.unfinished = self.unfinished, set()
            for log in unfinished:
                self.hand_over(log, STDOUT)
                self.hand_over(log, STDERR)
            self.flush()


def _flush_stand_ins() -> None:
    """What the user's code put in place of the streams may hold text in a buffer."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: S112
            continue


def install(sink: Sink) -> None:
    """Puts the log streams in place of the process's own."""
    from . import imports
    from .streams import LogStream

    stdout, stderr = sink.streams = (LogStream(sink, STDOUT), LogStream(sink, STDERR))
    sys.stdout = sys.__stdout__ = stdout  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = stderr  # type: ignore[misc]

    def bridge(module: object) -> None:
        # A file of the function's that hides Python's module has nothing to bridge.
        if not hasattr(module, "Handler"):
            return
        from .logging_bridge import install as install_bridge

        install_bridge(sink)

    imports.after("logging", bridge)
