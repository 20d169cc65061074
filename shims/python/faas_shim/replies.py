"""From what a handler returned to frames.

An event handler's value is the body: text, bytes, or JSON for everything else; `(body, status)` and
`(body, status, headers)`; a dict with `statusCode` as for AWS Lambda; an object with `status` (or `status_code`),
`headers` and `body`, or a dict with just these keys and a number as `status`; an iterator or generator, sync or
async, streams. A plain function's value is wrapped as `{"result": value}`; only bytes, response objects and
generators are taken as they are, and a tuple is an array.

JSON is strict: NaN and infinities are errors. Dates become ISO 8601; UUID, Decimal and paths text; enums their value;
sets arrays; dataclasses and models objects.
"""

from __future__ import annotations

import sys

from . import jsons, values
from .contracts import EVENT
from .protocol import HEAD, pack

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain; charset=utf-8"
BYTES_TYPE = "application/octet-stream"
LINES_TYPE = "application/x-ndjson"
HEAD_MAX = 64 << 10

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TOKEN = set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
_BASE64 = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_RESPONSE_KEYS = {"status", "headers", "body"}
_HEADS: dict[str, bytes] = {}


class BadReply(Exception):
    """A handler returned something that is not a reply; `limit` names the one that it is beyond."""

    def __init__(self, message: str, limit: str | None = None) -> None:
        super().__init__(message)
        self.limit = limit


class Reply:
    """A reply that is ready to be sent: its body is bytes, or something to iterate over."""

    __slots__ = ("status", "headers", "content_type", "body", "stream")

    def __init__(self, body: bytes, content_type: str) -> None:
        self.status = 200
        self.headers: list[tuple[str, str]] = []
        self.content_type: str | None = content_type
        self.body = body
        self.stream: object = None

    def head(self, length: int | None = None) -> bytes:
        """The payload of the head frame; it tells the length of a body that is too long for one frame."""
        if self.status == 200 and not self.headers and self.content_type and length is None:
            cached = _HEADS.get(self.content_type)
            if cached is None:
                cached = _HEADS[self.content_type] = encode_head(200, [("content-type", self.content_type)])
            return cached
        headers = self.headers
        if self.content_type and all(name != "content-type" for name, _ in headers):
            headers = [("content-type", self.content_type), *headers]
        return encode_head(self.status, headers, length)


def encode_head(status: int, headers: list[tuple[str, str]], length: int | None = None) -> bytes:
    """The payload of a head frame."""
    fields: dict[str, object] = {"status": status, "headers": headers}
    if length is not None:
        fields["length"] = length
    head = jsons.encode_frame(fields)
    if len(head) > HEAD_MAX:
        raise BadReply(f"the reply's headers are larger than {HEAD_MAX >> 10} KB")
    return head


def head_frame(stream: int, status: int, headers: list[tuple[str, str]]) -> bytes:
    """A head frame for those who stream."""
    return pack(HEAD, stream, encode_head(status, headers))


def from_value(value: object, contract: str) -> Reply:
    """The reply that a returned value stands for."""
    if contract != EVENT:
        if isinstance(value, dict) or value is None or isinstance(value, (str, int, float, list, tuple)):
            return _json({"result": value})
        return _special(value) or _json({"result": value})
    if type(value) is dict:
        if "statusCode" in value:
            return _from_proxy(value)
        return _from_response_dict(value) if _is_response(value) else _json(value)
    if isinstance(value, tuple):
        return _from_tuple(value)
    return _from_body(value)


def _json(value: object) -> Reply:
    try:
        return Reply(jsons.encode(value), JSON_TYPE)
    except (TypeError, ValueError, RecursionError) as error:
        raise values.explain(value, error) from None


def _from_body(value: object) -> Reply:
    if isinstance(value, str):
        return Reply(jsons.utf8(value), TEXT_TYPE)
    if value is None or isinstance(value, (dict, list, int, float)):
        return _json(value)
    return _special(value) or _json(value)


def _special(value: object) -> Reply | None:
    """Bytes, streams and response objects."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Reply(bytes(value), BYTES_TYPE)
    if hasattr(value, "__next__") or hasattr(value, "__anext__"):
        reply = Reply(b"", "")
        reply.content_type = None
        reply.stream = value
        return reply
    status = getattr(value, "status_code", None)
    if status is None:
        status = getattr(value, "status", None)
    if isinstance(status, int) and hasattr(value, "headers"):
        for name in ("body_iterator", "body", "content"):
            if hasattr(value, name):
                return _with(_from_body(getattr(value, name)), status, value.headers)  # type: ignore[attr-defined]
    return None


def _from_tuple(value: tuple) -> Reply:  # type: ignore[type-arg]
    # Two floats are rather a place on a map.
    if len(value) in (2, 3) and isinstance(value[1], int) and _is_number(value[1]) and 100 <= value[1] <= 599:
        headers = value[2] if len(value) == 3 else None
        if headers is None or hasattr(headers, "items") or isinstance(headers, (list, tuple)):
            return _with(_from_body(value[0]), value[1], headers)
    return _json(value)


def _is_response(value: dict) -> bool:  # type: ignore[type-arg]
    """Whether a dict is a response rather than data: nothing but its three keys, and a status that is a number."""
    return "body" in value and _is_number(value.get("status")) and value.keys() <= _RESPONSE_KEYS


def _is_number(value: object) -> bool:
    # HTTPStatus is one as well, and what JSON writes as 200.0; True is not.
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def _from_response_dict(value: dict) -> Reply:  # type: ignore[type-arg]
    body = value["body"]
    reply = _from_body("" if body is None else body)
    return _with(reply, int(value["status"]), value.get("headers"))


def _from_proxy(value: dict) -> Reply:  # type: ignore[type-arg]
    body = value.get("body")
    if value.get("isBase64Encoded") and isinstance(body, str):
        body = _from_base64(body)
    reply = _from_body("" if body is None else body)
    _with(reply, _status(value["statusCode"]), value.get("headers"))
    several = _fields(value.get("multiValueHeaders"))
    # As for AWS Lambda: what has several values there is not repeated with the one that it has here.
    names = {name for name, _ in several}
    cookies = value.get("cookies")
    reply.headers = [field for field in reply.headers if field[0] not in names] + several
    reply.headers += _fields({"set-cookie": list(cookies) if isinstance(cookies, (list, tuple)) else cookies})
    return reply


def _status(value: object) -> int:
    text = str(value).strip()
    # An enum such as HTTPStatus is a number, whatever its text says.
    if _is_number(value):
        return int(value)  # type: ignore[call-overload]
    if not (text.isascii() and text.isdigit()):
        raise BadReply(f"`statusCode` is not a number: {str(value)[:80]!r}")
    return int(text[:10])


def _from_base64(text: str) -> bytes:
    """Of either alphabet, with or without padding and line breaks."""
    from binascii import Error, a2b_base64

    plain = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        if not _BASE64.issuperset(plain):
            raise Error("it has other characters")
        return a2b_base64(plain + "=" * (-len(plain) % 4))
    except Error as error:
        raise BadReply(f"`body` is not base64: {error}") from None


def _pairs(headers: object) -> list[tuple[object, object]]:
    """The fields of a dict or a list of pairs: a list as value repeats its field, None leaves it out."""
    if headers is None:
        return []
    if hasattr(headers, "items"):
        headers = headers.items()
    if isinstance(headers, (str, bytes)) or not hasattr(headers, "__iter__"):
        raise BadReply("headers must be a dict or a list of pairs")
    found: list[tuple[object, object]] = []
    for pair in headers:  # type: ignore[attr-defined]
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise BadReply("headers must be a dict or a list of pairs")
        name, value = pair
        if isinstance(value, (list, tuple)):
            found += [(name, each) for each in value if each is not None]
        elif value is not None:
            found.append((name, value))
    return found


def check_status(status: object) -> None:
    """Raises when a reply cannot have this status."""
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise BadReply(f"{str(status)[:80]} is not a status that ends a request: use 200 to 599")


def _with(reply: Reply, status: int, headers: object) -> Reply:
    check_status(status)
    reply.status = int(status)
    reply.headers = _fields(headers)
    return reply


def _fields(headers: object) -> list[tuple[str, str]]:
    return [clean_header(name, value) for name, value in _pairs(headers)]


def clean_header(name: object, value: object) -> tuple[str, str]:
    """A header field as the wire takes it; raises BadReply."""
    if isinstance(name, bytes):
        name = name.decode("latin-1")
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    elif value is True or value is False:
        # As JSON and JavaScript write it, and as browsers ask for it.
        value = "true" if value else "false"
    elif isinstance(value, (dict, list, tuple, set)):
        raise BadReply(f"the header {str(name).lower()[:80]!r} has a {type(value).__name__} as its value")
    elif values.is_a(value, "datetime", "date"):
        value = _http_date(value)
    name, text = str(name).lower(), str(value)
    if not name or not _TOKEN.issuperset(name):
        raise BadReply(f"{name[:80]!r} is not a header name")
    if "\r" in text or "\n" in text or "\0" in text:
        raise BadReply(f"the header {name!r} has a line break in its value")
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        # Bytes beyond ASCII travel as Latin-1 text; the client sees UTF-8.
        text = jsons.utf8(text).decode("latin-1")
    return name, text.strip()


def _http_date(value: object) -> str:
    """As HTTP writes dates; one without a zone is taken for UTC."""
    zone = getattr(value, "tzinfo", None)
    if zone is not None:
        value = value.astimezone(sys.modules["datetime"].timezone.utc)  # type: ignore[attr-defined]
    year, month, day, hour, minute, second, weekday, _, _ = value.timetuple()  # type: ignore[attr-defined]
    clock = f"{hour:02}:{minute:02}:{second:02}"
    return f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} {clock} GMT"


def chunk_of(item: object) -> tuple[bytes, str]:
    """One streamed item and the content type that it suggests: text, bytes, or a line of JSON."""
    if isinstance(item, str):
        return jsons.utf8(item), TEXT_TYPE
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item), BYTES_TYPE
    try:
        return jsons.encode(item) + b"\n", LINES_TYPE
    except (TypeError, ValueError, RecursionError) as error:
        raise values.explain(item, error) from None
