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

from . import jsons, values
from .contracts import EVENT
from .protocol import HEAD, pack

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain; charset=utf-8"
BYTES_TYPE = "application/octet-stream"
LINES_TYPE = "application/x-ndjson"
HEAD_MAX = 64 << 10

_TOKEN = set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
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
    head = jsons.encode(fields)
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
        return Reply(value.encode("utf-8", "replace"), TEXT_TYPE)
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
    if len(value) in (2, 3) and type(value[1]) is int and 100 <= value[1] <= 599:
        headers = value[2] if len(value) == 3 else None
        if headers is None or hasattr(headers, "items") or isinstance(headers, (list, tuple)):
            return _with(_from_body(value[0]), value[1], headers or ())
    return _json(value)


def _is_response(value: dict) -> bool:  # type: ignore[type-arg]
    """Whether a dict is a response rather than data: nothing but its three keys, and a status that is a number."""
    return "body" in value and type(value.get("status")) is int and value.keys() <= _RESPONSE_KEYS


def _from_response_dict(value: dict) -> Reply:  # type: ignore[type-arg]
    body = value["body"]
    reply = _from_body("" if body is None else body)
    return _with(reply, value["status"], value.get("headers") or ())


def _from_proxy(value: dict) -> Reply:  # type: ignore[type-arg]
    body = value.get("body")
    if value.get("isBase64Encoded") and isinstance(body, str):
        from binascii import Error, a2b_base64

        try:
            body = a2b_base64(body)
        except Error as error:
            raise BadReply(f"`body` is not base64: {error}") from None
    reply = _from_body("" if body is None else body)
    try:
        status = int(value["statusCode"])
    except (TypeError, ValueError):
        raise BadReply(f"`statusCode` is not a number: {value['statusCode']!r}") from None
    headers = _pairs(value.get("headers") or ())
    for name, several in (value.get("multiValueHeaders") or {}).items():
        headers += [(name, each) for each in several]
    headers += [("set-cookie", cookie) for cookie in value.get("cookies") or ()]
    return _with(reply, status, headers)


def _pairs(headers: object) -> list[tuple[object, object]]:
    if hasattr(headers, "items"):
        headers = headers.items()
    found: list[tuple[object, object]] = []
    for pair in headers:  # type: ignore[attr-defined]
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise BadReply("headers must be a dict or a list of pairs")
        name, value = pair
        found += [(name, each) for each in value] if isinstance(value, (list, tuple)) else [(name, value)]
    return found


def _with(reply: Reply, status: int, headers: object) -> Reply:
    if not 200 <= status <= 599:
        raise BadReply(f"{status} is not a status that ends a request: use 200 to 599")
    reply.status = status
    reply.headers = [clean_header(name, value) for name, value in _pairs(headers)]
    return reply


def clean_header(name: object, value: object) -> tuple[str, str]:
    """A header field as the wire takes it; raises BadReply."""
    if isinstance(name, bytes):
        name = name.decode("latin-1")
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    name, text = str(name).lower(), str(value)
    if not name or not _TOKEN.issuperset(name):
        raise BadReply(f"{name[:80]!r} is not a header name")
    if "\r" in text or "\n" in text or "\0" in text:
        raise BadReply(f"the header {name!r} has a line break in its value")
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        # Bytes beyond ASCII travel as Latin-1 text; the client sees UTF-8.
        text = text.encode("utf-8", "replace").decode("latin-1")
    return name, text.strip()


def chunk_of(item: object) -> tuple[bytes, str]:
    """One streamed item and the content type that it suggests: text, bytes, or a line of JSON."""
    if isinstance(item, str):
        return item.encode("utf-8", "replace"), TEXT_TYPE
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item), BYTES_TYPE
    try:
        return jsons.encode(item) + b"\n", LINES_TYPE
    except (TypeError, ValueError, RecursionError) as error:
        raise values.explain(item, error) from None
