"""JSON on the C accelerators alone: the `json` package drags in `re`, which costs more than a cold start may."""

from __future__ import annotations

import sys
from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner

BLANKS = " \t\n\r"
BYTE_ORDER_MARK = "\ufeff"
TOO_DEEP, TOO_LONG = "it is nested too deeply", "a number in it has too many digits"
# The text is JSON, but not for this interpreter.
TOO_MUCH = (TOO_DEEP, TOO_LONG)


class NotJson(ValueError):
    """The text is not JSON, or more deeply nested than the interpreter can hold."""

    def __init__(self, reason: str, text: str = "", at: int | None = None) -> None:
        super().__init__(reason if at is None else f"{reason} {_place(text, at)}")
        self.reason = reason
        self.text = text
        self.at = at


class _Syntax:
    """What the scanner asks for: strict strings, plain dicts, no NaN or Infinity."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int

    def __init__(self) -> None:
        self.memo: dict[str, str] = {}

    @staticmethod
    def parse_constant(name: str) -> None:
        raise NotJson(f"{name} is not JSON")


_scan = make_scanner(_Syntax())


def decode(data: bytes) -> object:
    """The value of a JSON text in UTF-8."""
    try:
        text = data.decode()
        # The scanner takes no blanks around the value.
        start = len(text) - len(text.lstrip(BLANKS)) if text[:1] in BLANKS else 0
        value, end = _scan(text, start)
        if end != len(text) and text[end:].strip(BLANKS):
            raise NotJson("extra text", text, end)
        return value
    except StopIteration as error:
        if text[:1] == BYTE_ORDER_MARK:
            return decode(data[len(BYTE_ORDER_MARK.encode()) :])
        raise NotJson("a value is expected", text, error.value) from None
    except RecursionError:
        raise NotJson(TOO_DEEP) from None
    except UnicodeDecodeError as error:
        raise NotJson(f"it is not UTF-8 at byte {error.start}") from None
    except NotJson:
        raise
    except ValueError as error:
        if str(error).startswith("Exceeds the limit"):
            raise NotJson(TOO_LONG) from None
        reason = getattr(error, "msg", None) or str(error)
        raise NotJson(reason[:1].lower() + reason[1:], text, getattr(error, "pos", None)) from None
    except SystemError:
        # Before Python 3.12 the scanner raises nothing at all unless this module is loaded.
        if "json.decoder" in sys.modules:
            raise
        __import__("json.decoder")
        return decode(data)


def _place(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    return f"at line {line} column {at - text.rfind(chr(10), 0, at)}"


def _unknown(value: object) -> object:
    from .values import simplify

    return simplify(value)


def _encoder(text):  # type: ignore[no-untyped-def]
    return make_encoder({}, _unknown, text, None, ":", ",", False, False, False)


_encode = _encoder(encode_basestring)


def encode(value: object) -> bytes:
    """A value as compact, strict JSON in UTF-8. Raises TypeError, ValueError or RecursionError."""
    try:
        return _text(value).encode()
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8, but an escape.
        return "".join(_encoder(encode_basestring_ascii)(value, 0)).encode()


def encode_frame(value: object) -> bytes:
    """The JSON of a frame. The server takes no lone surrogate, not even as an escape."""
    return utf8(_text(value))


def utf8(text: str) -> bytes:
    """Text as UTF-8, with U+FFFD for each lone surrogate."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= each <= "\udfff" else each for each in text).encode()


def _text(value: object) -> str:
    global _encode
    try:
        return "".join(_encode(value, 0))
    except BaseException:
        # It remembers the containers that it was in, and would take them for circles.
        _encode = _encoder(encode_basestring)
        raise
