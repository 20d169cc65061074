"""The module `faas` of user code: events and messages of a run, sent by the server in its name."""

from __future__ import annotations

from . import jsons
from .protocol import PAYLOAD_MAX
from .values import Unserializable, explain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .async_loop import AsyncLoop
    from .loading import Offer
    from .sync_loop import SyncLoop


JSON_TYPE, BYTES_TYPE = "application/json", "application/octet-stream"
MALFORMED, TOO_LARGE, CANCELLED = "FN_012", "FN_011", "FN_023"


class PublishError(Exception):
    """An event or a message that is not kept. `code` is the platform's, such as `FN_012`."""

    def __init__(self, message: str, code: str = MALFORMED) -> None:
        super().__init__(message)
        self.code = code

    def __str__(self) -> str:
        return f"{self.code} {super().__str__()}"


PublishError.__module__ = "faas"


def outside() -> PublishError:
    """There is no run to publish in the name of."""
    return PublishError("nothing can be published or sent outside a call, or after its end")


def gone() -> PublishError:
    """The run has been given up."""
    return PublishError("the run was cancelled before the answer came", CANCELLED)


class Publisher:
    """What `import faas` gives."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def publish(
        self,
        type: str,
        data: object = None,
        *,
        subject: str | None = None,
        source: str | None = None,
        id: str | None = None,
    ) -> str:
        """Publishes an event and returns its id once it is kept. Bytes go as they are, anything else as JSON."""
        return _answer(self._loop().ask(*_event(type, data, subject, source, id)))

    async def publish_async(
        self,
        type: str,
        data: object = None,
        *,
        subject: str | None = None,
        source: str | None = None,
        id: str | None = None,
    ) -> str:
        """As `publish`, for async functions."""
        return _answer(await self._loop().ask_async(*_event(type, data, subject, source, id)))

    def send(self, topic: str, body: object, *, attributes: Mapping[str, str] | None = None) -> str:
        """Sends a message and returns its id once it is kept. Bytes go as they are, anything else as JSON."""
        return _answer(self._loop().ask(*_message(topic, body, attributes)))

    async def send_async(self, topic: str, body: object, *, attributes: Mapping[str, str] | None = None) -> str:
        """As `send`, for async functions."""
        return _answer(await self._loop().ask_async(*_message(topic, body, attributes)))

    def _loop(self) -> SyncLoop | AsyncLoop:
        if self._offer.loop is None:
            raise outside()
        return self._offer.loop


def _event(kind: object, data: object, subject: object, source: object, identity: object) -> tuple[bytes, bytes]:
    content_type, payload = _content(data)
    head = {
        "kind": "event",
        "type": _text("type", kind),
        "subject": _text("subject", subject),
        "source": _text("source", source),
        "id": _text("id", identity),
        "content_type": content_type,
    }
    return _bounded(head, payload, "an event")


def _message(topic: object, body: object, attributes: Mapping[str, str] | None) -> tuple[bytes, bytes]:
    if not isinstance(topic, str):
        raise PublishError("the topic must be text")
    content_type, payload = _content(body)
    named = {}
    for name, value in (attributes or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise PublishError(f"attribute `{name}` must be text, its name as well")
        named[_text("attributes", name)] = _text(name, value)
    head = {"kind": "message", "topic": _text("topic", topic), "content_type": content_type, "attributes": named}
    return _bounded(head, payload, "a message")


def _text(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise PublishError(f"attribute `{name}` must be text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise PublishError(f"attribute `{name}` is not UTF-8") from None
    return value


def _content(value: object) -> tuple[str | None, bytes]:
    if value is None:
        return None, b""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return BYTES_TYPE, bytes(value)
    try:
        return JSON_TYPE, jsons.encode(value)
    except (TypeError, ValueError, RecursionError, Unserializable) as error:
        raise PublishError(str(explain(value, error))) from None


def _bounded(head: dict, data: bytes, what: str) -> tuple[bytes, bytes]:
    encoded = jsons.encode_frame(head)
    size = len(encoded) + len(data)
    if size > PAYLOAD_MAX - 4:
        raise PublishError(f"{what} of {size} bytes is over {PAYLOAD_MAX >> 20} MB", TOO_LARGE)
    return encoded, data


def _answer(payload: bytes) -> str:
    answer: dict = jsons.decode(payload)  # type: ignore[assignment]
    if "id" in answer:
        return answer["id"]
    hint = f"; {answer['hint']}" if answer.get("hint") else ""
    raise PublishError(answer["message"] + hint, answer["code"])
