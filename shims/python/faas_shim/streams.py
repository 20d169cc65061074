"""What stands in for sys.stdout and sys.stderr."""

from __future__ import annotations

from _codecs import utf_8_decode
from io import BufferedIOBase, TextIOBase

from .logs import INFO, STDOUT, WARN, RunLog, Sink


class LogStream(TextIOBase):
    """Text, cut into lines of the run that writes it."""

    encoding = "utf-8"
    errors = "replace"
    newlines = None
    line_buffering = True
    write_through = False
    mode = "w"

    def __init__(self, sink: Sink, origin: int) -> None:
        self.sink = sink
        self.origin = origin
        self.level = INFO if origin == STDOUT else WARN
        self.name = "<stdout>" if origin == STDOUT else "<stderr>"
        self.buffer = ByteStream(self)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        log = self.sink.run_log()
        with self.sink.guard:
            if log.rest and log.rest.pop(self.origin, b""):
                self._write(log, "\ufffd" + text)
            else:
                self._write(log, text)
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        """Bytes of UTF-8, perhaps with a part of a character at the end."""
        log = self.sink.run_log()
        with self.sink.guard:
            if log.rest:
                data = log.rest.pop(self.origin, b"") + data
            text, used = utf_8_decode(data, "replace", False)
            if used < len(data):
                log.rest = log.rest or {}
                log.rest[self.origin] = data[used:]
            self._write(log, text)

    def _write(self, log: RunLog, text: str) -> None:
        sink, origin = self.sink, self.origin
        if text == "\n" and not log.skipping[origin]:
            # How `print` ends each line.
            line, log.partial[origin] = log.partial[origin], ""
            sink.emit(log, self.level, origin, line)
            return
        if log.left <= 0:
            log.dropped += text.count("\n")
            return
        if len(text) > log.left:
            # Never hold more of a huge text than the run may still write.
            kept = log.left + 1
            log.dropped += text.count("\n", kept)
            text = text[:kept]
        if "\n" not in text:
            self._hold(log, text)
            return
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

    def _hold(self, log: RunLog, text: str) -> None:
        origin = self.origin
        if log.skipping[origin]:
            return
        text = log.partial[origin] + text
        if len(text) > self.sink.line_max:
            log.skipping[origin] = True
            log.partial[origin] = ""
            self.sink.emit(log, self.level, origin, text)
        elif text:
            log.partial[origin] = text
            self.sink.hold(log)

    def flush(self) -> None:
        sink = self.sink
        log = sink.run_log()
        if log.partial[self.origin]:
            sink.hand_over(log, self.origin)
        sink.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self.origin + 1

    def reconfigure(self, **_options: object) -> None:
        pass

    def detach(self) -> ByteStream:  # type: ignore[override]
        """The bytes below, for a wrapper of the caller's; this stream goes on working."""
        return self.buffer

    def close(self) -> None:
        pass


class ByteStream(BufferedIOBase):
    """Stands in for sys.stdout.buffer. Nobody can close it, as it is with the text above it."""

    mode = "wb"

    def __init__(self, text: LogStream) -> None:
        self.text = text
        self.name = text.name
        self.raw = self

    def write(self, data: bytes) -> int:
        data = memoryview(data).tobytes()
        self.text.write_bytes(data)
        return len(data)

    def flush(self) -> None:
        self.text.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self.text.fileno()

    def close(self) -> None:
        pass
