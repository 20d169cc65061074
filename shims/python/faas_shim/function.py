"""One loaded function: its contract and what every call of it needs."""

from __future__ import annotations

from . import errors, jsons
from .binding import Binder, Rejected
from .context import Context, Request
from .contracts import EVENT, Contract, underlying
from .jsons import TOO_MUCH, NotJson
from .protocol import END, pack
from .replies import BadReply
from .values import Unserializable


class Function:
    """The user's callable as the loops call it."""

    __slots__ = ("contract", "call", "kind", "binder", "name", "version", "memory_mb", "code", "body_max")

    def __init__(self, contract: Contract, init: dict) -> None:
        self.contract = contract
        self.call = contract.call
        self.kind = contract.kind
        self.binder = Binder(contract)
        self.name: str = init["function"]
        self.version: int = init["version"]
        self.memory_mb: int = init["memory_mb"]
        self.code: str = init["code"]
        self.body_max: int = init["body_max"]

    def start(self, payload: bytes, body: bytes) -> object:
        """Calls the handler; what it returns may still be a coroutine or generator. Raises Rejected."""
        request = Request(payload, body)
        if self.kind != EVENT:
            arguments, named = self.binder.bind(request)
            return self.call(*arguments, **named)  # type: ignore[operator]
        if self.contract.takes_request:
            return self.call(request)  # type: ignore[operator]
        event = _event(request)
        if not self.contract.takes_context:
            return self.call(event)  # type: ignore[operator]
        return self.call(event, Context(self.name, self.version, self.memory_mb, request))  # type: ignore[operator]

    def failure(self, stream: int, error: BaseException, dropped: int) -> bytes:
        """The end frame of a run that did not work."""
        if isinstance(error, Rejected):
            return end_frame(stream, {"dropped": dropped, "rejected": str(error)[: errors.MESSAGE_MAX]})
        if isinstance(error, (Unserializable, BadReply)):
            described = {"type": type(error).__name__, "message": str(error)[: errors.MESSAGE_MAX]}
            described |= errors.trace_of(error, self.code)
            if not described["stack"]:
                # The shim found it after the handler had returned.
                described |= errors.place_of(underlying(self.call)[0], self.code)
            described["hint"] = "return JSON values, text, bytes, a (body, status, headers) tuple or a response object"
            if isinstance(error, BadReply) and error.limit:
                described["limit"] = error.limit
        else:
            described = errors.describe(error, self.code)
        return end_frame(stream, {"dropped": dropped, "raised": described})

    def check_size(self, size: int) -> None:
        """Raises when a reply's body is over the limit."""
        if size > self.body_max:
            raise BadReply(f"the reply is larger than {self.body_max >> 20} MB", "reply")


def _event(request: Request) -> object:
    body = request.body
    if not body:
        return {}
    try:
        return jsons.decode(body)
    except NotJson as error:
        if error.reason in TOO_MUCH:
            raise Rejected(f"the body is not usable: {error}") from None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body


def end_frame(stream: int, end: dict) -> bytes:
    """An end frame with something to say."""
    return pack(END, stream, jsons.encode_frame(end), end=True)
