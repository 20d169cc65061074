"""What user code prints and logs, cut into lines and sent as log frames that name their run."""

from __future__ import annotations

import sys
from _io import _TextIOBase
from _thread import allocate_lock, start_new_thread
from time import sleep, time

from .protocol import LOG, Channel, Struct

DEBUG, INFO, WARN, ERROR = 0, 1, 2, 3
STDOUT, STDERR, LOGGER = 0, 1, 2
PENDING_MAX = 32 << 10
TICK_SECONDS = 0.02
CUT_MARK = " [cut]"

_HEAD = Struct("<IBBHIBBHQ")
_FIXED_LEN = 12


class RunLog:
    """The log of one run, or of the instance (stream 0): what it may still write, and its unfinished lines."""

    __slots__ = ("stream", "left", "dropped", "partial", "skipping")

    def __init__(self, stream: int, budget: int) -> None:
        self.stream = stream
        self.left = budget
        self.dropped = 0
        self.partial = ["", ""]
        self.skipping = [False, False]


class Sink:
    """Collects log frames and sends them in batches: at once when there are many, within a tick when few, and with
    the reply at the end of a run."""

    def __init__(self, channel: Channel, budget: int, line_max: int) -> None:
        self.channel = channel
        self.budget = budget
        self.line_max = line_max
        self.instance = RunLog(0, budget)
        self.current = self.instance
        self.pending: list[bytes] = []
        self.size = 0
        self.armed = False
        self.gate = allocate_lock()
        self.gate.acquire()
        self.ticking = False

    def run_log(self) -> RunLog:
        """The log of the run that is writing. One at a time here; the event loop looks into the context."""
        return self.current

    def emit(self, log: RunLog, level: int, origin: int, text: str) -> None:
        """Adds one line."""
        if log.left <= 0:
            log.dropped += 1
            return
        if len(text) > self.line_max:
            text = text[: self.line_max - len(CUT_MARK)] + CUT_MARK
        data = text.encode("utf-8", "replace")
        if len(data) > self.line_max:
            data = data[: self.line_max - len(CUT_MARK)].decode("utf-8", "ignore").encode() + CUT_MARK.encode()
        log.left -= len(data) + 1
        head = _HEAD.pack(_FIXED_LEN + len(data), LOG, 0, 0, log.stream, level, origin, 0, int(time() * 1000))
        self.pending.append(head + data)
        self.size += len(data) + 24
        if self.size > PENDING_MAX:
            self.flush()
        elif not self.armed:
            self.armed = True
            self.arm()

    def take(self) -> bytes:
        """All pending frames, for a sender that has more to say."""
        if not self.pending:
            return b""
        pending, self.pending = self.pending, []
        self.size = 0
        return b"".join(pending)

    def flush(self) -> None:
        """Sends what is pending, or leaves it to the next flush when another thread is sending."""
        if self.pending:
            self.channel.send_pending(self)

    def begin(self, stream: int) -> RunLog:
        """The log of a new run. What is written outside runs gets a fresh allowance."""
        self.instance.left = self.budget
        return RunLog(stream, self.budget)

    def finish(self, log: RunLog) -> None:
        """Ends a run's unfinished lines. What its leftovers write afterwards, such as a task that nobody awaited, is
        the instance's."""
        for origin in (STDOUT, STDERR):
            text = log.partial[origin]
            if text:
                log.partial[origin] = ""
                self.emit(log, INFO if origin == STDOUT else WARN, origin, text)
            log.skipping[origin] = False
        log.stream = 0

    def arm(self) -> None:
        """Sees to it that what is pending goes out within a tick, even when the handler sleeps."""
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
            try:
                self.flush()
            except Exception:
                return


class LogStream(_TextIOBase):
    """Stands in for sys.stdout and sys.stderr."""

    encoding = "utf-8"
    errors = "replace"
    newlines = None
    line_buffering = True

    def __init__(self, sink: Sink, origin: int) -> None:
        self.sink = sink
        self.origin = origin
        self.level = INFO if origin == STDOUT else WARN
        self.name = "<stdout>" if origin == STDOUT else "<stderr>"
        self.mode = "w"
        self.buffer = ByteStream(self)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        size = len(text)
        sink, origin = self.sink, self.origin
        log = sink.run_log()
        if log.left <= 0:
            log.dropped += text.count("\n")
            return size
        if size > log.left:
            # Never hold more of a huge text than the run may still write.
            kept = log.left + 1
            log.dropped += text.count("\n", kept)
            text = text[:kept]
        if "\n" not in text:
            self._hold(log, text)
            return size
        *lines, rest = text.split("\n")
        lines[0] = log.partial[origin] + lines[0]
        log.partial[origin] = ""
        if log.skipping[origin]:
            log.skipping[origin] = False
            del lines[0]
        for line in lines:
            sink.emit(log, self.level, origin, line)
        if rest:
            self._hold(log, rest)
        return size

    def _hold(self, log: RunLog, text: str) -> None:
        origin = self.origin
        if log.skipping[origin]:
            return
        text = log.partial[origin] + text
        if len(text) > self.sink.line_max:
            log.skipping[origin] = True
            log.partial[origin] = ""
            self.sink.emit(log, self.level, origin, text)
        else:
            log.partial[origin] = text

    def flush(self) -> None:
        pass

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self.origin + 1

    def reconfigure(self, **_options: object) -> None:
        pass

    def close(self) -> None:
        pass


class ByteStream:
    """Stands in for sys.stdout.buffer."""

    def __init__(self, text: LogStream) -> None:
        self.text = text
        self.raw = self

    def write(self, data: bytes) -> int:
        data = bytes(data)
        self.text.write(data.decode("utf-8", "replace"))
        return len(data)

    def flush(self) -> None:
        pass

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.text.fileno()


class LoggingHook:
    """Gives the root logger its handler as soon as somebody imports `logging`, and not a millisecond earlier."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        if name != "logging":
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        from _frozen_importlib_external import PathFinder

        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: object) -> None:
                execute(module)
                from .logging_bridge import install

                install(self.sink)

            spec.loader.exec_module = exec_module
        return spec


def install(sink: Sink) -> None:
    """Puts the log streams in place of the process's own."""
    sys.stdout = LogStream(sink, STDOUT)
    sys.stderr = LogStream(sink, STDERR)
    sys.meta_path.insert(0, LoggingHook(sink))  # type: ignore[arg-type]
