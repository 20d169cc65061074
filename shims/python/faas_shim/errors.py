"""Exceptions as the platform's function errors: the user's own places first, the shim's left out."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

MESSAGE_MAX = 8 << 10
FRAMES_MAX = 40
CHAIN_MAX = 5
_SHIM_DIR = __file__.rpartition("/")[0] + "/"
_VENDORED = ("vendor/", ".python_packages/", "site-packages/")


class LoadError(Exception):
    """The entrypoint cannot be served. `kind` stands in for the exception's type."""

    def __init__(self, kind: str, message: str, hint: str | None = None, file: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.hint = hint
        self.file = file


def describe(error: BaseException, code: str) -> dict[str, object]:
    """The function error of an exception; `code` is the directory of the user's files. Small enough for a frame."""
    try:
        found = _describe(error, code)
    except Exception:
        # A class of the user's may answer no question, and where no file opens any more no hint can be looked up.
        found = {"type": _name(error), "message": _plain_message(error)}
    return {key: _cut(value) if isinstance(value, str) else value for key, value in found.items()}


def _describe(error: BaseException, code: str) -> dict[str, object]:
    if isinstance(error, LoadError):
        return {"type": error.kind, "message": str(error), "hint": error.hint, "file": error.file}
    found: dict[str, object] = {"type": _name(error), "message": _message(error)} | trace_of(error, code)
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        found.update(_syntax(error, code))
    elif isinstance(error, ModuleNotFoundError):
        from .hints import for_hidden_module, for_missing_module

        found["hint"] = for_hidden_module(error, code) or for_missing_module(error.name, code)
    elif isinstance(error, ImportError) and "no known parent package" in str(error):
        found["hint"] = "the entrypoint is at the bundle's root: leave out the dot of `from .name import`"
    elif isinstance(error, (ImportError, AttributeError)):
        from .hints import for_hidden_module

        if hint := for_hidden_module(error, code):
            found["hint"] = hint
    elif (limit := _limit(error)) is not None:
        found["limit"] = limit
    elif isinstance(error, SystemExit):
        found["hint"] = "return from the handler instead of calling sys.exit()"
    return found


def trace_of(error: BaseException, code: str) -> dict[str, object]:
    """The calls of the user's that an error came through, and the innermost place among them."""
    stack, place = _stack(error, code)
    return {"stack": stack} | ({"file": place[0], "line": place[1]} if place else {})


def _limit(error: BaseException) -> str | None:
    """The limit that an error tells of: nothing but /tmp can be full, and what could not start shows in the count."""
    from errno import EAGAIN, ENOSPC

    if isinstance(error, OSError) and error.errno == ENOSPC:
        return "tmp"
    no_process = isinstance(error, BlockingIOError) and error.errno == EAGAIN
    no_thread = isinstance(error, RuntimeError) and error.args == ("can't start new thread",)
    return "pids" if (no_process or no_thread) and _is_crowded() else None


def _is_crowded() -> bool:
    """Whether about as many processes and threads live here as may."""
    import os
    from resource import RLIMIT_NPROC, getrlimit

    count = 0
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                count += len(os.listdir(f"/proc/{pid}/task"))
            except OSError:
                count += 1
    return count >= getrlimit(RLIMIT_NPROC)[0] - 2


def _name(error: BaseException) -> str:
    return type(error).__name__


def _message(error: BaseException) -> str:
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:
        return "its message could not be made: str() failed"
    return _cut(str(text or ""))


def _plain_message(error: BaseException) -> str:
    try:
        return _message(error)
    except Exception:
        return "what was raised could not be looked at"


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_MAX else text[:MESSAGE_MAX] + " [cut]"


def _relative(path: str, code: str) -> str | None:
    return path[len(code) + 1 :] if path.startswith(code + "/") else None


def _syntax(error: SyntaxError, code: str) -> dict[str, object]:
    found: dict[str, object] = {
        "file": _relative(error.filename or "", code) or error.filename,
        "line": error.lineno,
        "column": error.offset,
    }
    source = error.text
    if source:
        source = source.rstrip("\n").expandtabs(1)[:500]
        indent = len(source) - len(source.lstrip())
        column = max((error.offset or 1) - 1 - indent, 0)
        end = error.end_offset if error.end_lineno == error.lineno and error.end_offset else 0
        width = max(1, end - (error.offset or 1))
        found["snippet"] = f"{source.lstrip()}\n{' ' * column}{'^' * min(width, 80)}"
    return found


def _stack(error: BaseException, code: str) -> tuple[list[str], tuple[str, int] | None]:
    chain: list[BaseException] = [error]
    while len(chain) < CHAIN_MAX:
        last = chain[-1]
        earlier = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if earlier is None or earlier in chain:
            break
        chain.append(earlier)
    stack: list[str] = []
    place = None
    for link in reversed(chain):
        lines, place = _frames(link.__traceback__, code)
        stack += lines
        if link is not error:
            stack.append(f"{_name(link)}: {_message(link)}")
    return stack, place


def _frames(trace: TracebackType | None, code: str) -> tuple[list[str], tuple[str, int] | None]:
    frames: list[tuple[str, int, str]] = []
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if not filename.startswith((_SHIM_DIR, "<frozen importlib")):
            frames.append((filename, trace.tb_lineno, trace.tb_frame.f_code.co_name))
        trace = trace.tb_next
    own = [(path, line) for name, line, _ in frames if (path := _relative(name, code))]
    first_party = [place for place in own if not place[0].startswith(_VENDORED)]
    place = (first_party or own or [None])[-1]
    lines = [_line(*frame, code) for frame in frames[: FRAMES_MAX // 2]]
    if len(frames) > FRAMES_MAX:
        lines.append(f"... {len(frames) - FRAMES_MAX} more calls ...")
    lines += [_line(*frame, code) for frame in frames[FRAMES_MAX // 2 :][-FRAMES_MAX // 2 :]]
    return lines, place


def place_of(function: object, code: str) -> dict[str, object]:
    """Where a function of the user's is, for an error that is about what it returned."""
    found = getattr(function, "__code__", None)
    path = _relative(found.co_filename, code) if found is not None else None
    if found is None or path is None:
        return {"stack": []}
    line = found.co_firstlineno
    return {"file": path, "line": line, "stack": [_line(found.co_filename, line, found.co_name, code)]}


def _line(filename: str, number: int, name: str, code: str) -> str:
    shown = _relative(filename, code) or filename
    source = _source(filename, number)
    text = f'File "{shown[-500:]}", line {number}, in {name[:200]}'
    return f"{text}\n    {source}" if source else text


def _source(filename: str, number: int) -> str:
    import linecache

    try:
        return linecache.getline(filename, number).strip()[:200]
    except ValueError:
        # compile() takes names that no file has, such as one with a lone surrogate.
        return ""
