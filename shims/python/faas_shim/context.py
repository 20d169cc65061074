"""What a handler learns about its call."""

from __future__ import annotations

from time import time

from .jsons import NotJson, decode

FORM_TYPE = "application/x-www-form-urlencoded"
_HEX = b"0123456789abcdefABCDEF"


class Headers(dict[str, str]):
    """Header fields by name, whatever its case. Repeated fields are joined; `raw` has them apart."""

    __slots__ = ("raw",)

    def __init__(self, raw: list[list[str]]) -> None:
        super().__init__()
        self.raw = raw
        for name, value in raw:
            if dict.__contains__(self, name):
                value = dict.__getitem__(self, name) + ("; " if name == "cookie" else ", ") + value
            dict.__setitem__(self, name, value)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name, default=None):  # type: ignore[no-untyped-def, override]
        return super().get(name.lower(), default)


class Request:
    """The request as it came. `query` holds the last value of each key; `query_values` all of them.

    Its head is decoded when somebody looks: most handlers never do.
    """

    __slots__ = ("body", "_payload", "_head", "_headers", "_query")

    def __init__(self, payload: bytes, body: bytes) -> None:
        self.body = body
        self._payload = payload
        self._head: dict | None = None
        self._headers: Headers | None = None
        self._query: dict[str, list[str]] | None = None

    @property
    def head(self) -> dict:
        """The head as the protocol has it."""
        if self._head is None:
            self._head = decode(self._payload)  # type: ignore[assignment]
        return self._head  # type: ignore[return-value]

    @property
    def method(self) -> str:
        return self.head["method"]

    @property
    def path(self) -> str:
        return self.head["path"]

    @property
    def query_string(self) -> str:
        return self.head["query"]

    @property
    def headers(self) -> Headers:
        if self._headers is None:
            self._headers = Headers(self.head["headers"])
        return self._headers

    @property
    def client_address(self) -> str | None:
        """The caller's address, as far as the server knows it; None for runs that no request made."""
        return self.headers.get("x-forwarded-for", "").partition(",")[0].strip() or None

    def has_json_body(self) -> bool:
        """Whether parameters come from a JSON body rather than from the query or a form."""
        if not self.body:
            return False
        # Looking for bytes is cheaper than decoding, and no other part of the head can hold these quotes unescaped.
        payload = self._payload
        if b'"method":"GET"' in payload or b'"method":"HEAD"' in payload:
            return False
        if b"-www-form-urlencoded" not in payload or not self.is_form():
            return True
        # The usual `curl -d '{…}'` says form and sends JSON; no form begins like that.
        return self.body[:64].lstrip()[:1] in (b"{", b"[")

    def is_form(self) -> bool:
        """Whether the body is a form."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM_TYPE

    @property
    def query_values(self) -> dict[str, list[str]]:
        if self._query is None:
            self._query = parse_query(self.query_string)
        return self._query

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in self.query_values.items()}

    def json(self) -> object:
        """The body as JSON. Raises `json.JSONDecodeError`."""
        try:
            return decode(self.body)
        except NotJson as error:
            from json import JSONDecodeError

            raise JSONDecodeError(error.reason, error.text, error.at or 0) from None

    def text(self) -> str:
        """The body as text; what is not UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")


class Identity:
    """The caller as AWS Lambda tells it where there is no Cognito."""

    cognito_identity_id = None
    cognito_identity_pool_id = None


class Context:
    """Identifies the run and tells how much time it has. The names of AWS Lambda's context work too."""

    # A place for attributes that libraries of Lambda put on it.
    __slots__ = ("function", "version", "memory_limit_mb", "request", "__dict__")

    # Callers of functions here have no accounts of AWS Cognito and none of its mobile clients.
    client_context = None

    def __init__(self, function: str, version: int, memory_mb: int, request: Request) -> None:
        self.function = function
        self.version = version
        self.memory_limit_mb = memory_mb
        self.request = request

    @property
    def run_id(self) -> str:
        return self.request.head["run"]

    @property
    def attempt(self) -> int:
        """Which try of the run this is: 1, and more when an earlier one failed."""
        text = self.request.headers.get("x-faas-attempt", "1")
        return int(text) if text.isascii() and text.isdigit() else 1

    @property
    def deadline_ms(self) -> int:
        """When the caller stops waiting, in milliseconds since 1970."""
        return self.request.head["deadline"]

    @property
    def deadline(self):  # type: ignore[no-untyped-def]
        """When the caller stops waiting, as an aware datetime in UTC."""
        from datetime import datetime, timezone

        return datetime.fromtimestamp(self.deadline_ms / 1000, timezone.utc)

    def get_remaining_time_in_millis(self) -> int:
        return max(0, self.deadline_ms - int(time() * 1000))

    @property
    def aws_request_id(self) -> str:
        return self.run_id

    @property
    def function_name(self) -> str:
        return self.function

    @property
    def function_version(self) -> str:
        return str(self.version)

    @property
    def memory_limit_in_mb(self) -> int:
        return self.memory_limit_mb

    @property
    def invoked_function_arn(self) -> str:
        return f"arn:faas:lambda:local:000000000000:function:{self.function}:{self.version}"

    @property
    def log_group_name(self) -> str:
        return f"/faas/{self.function}"

    @property
    def log_stream_name(self) -> str:
        """The lines of this run are found by its id."""
        return self.run_id

    @property
    def identity(self) -> Identity:
        return Identity()

    def log(self, message: object) -> None:
        """As AWS Lambda's: a line of the run's log."""
        print(message)

    def __repr__(self) -> str:
        return f"Context(run_id={self.run_id!r}, function={self.function!r}, version={self.version})"


def parse_query(text: str) -> dict[str, list[str]]:
    """A query or form body as lists of values by key."""
    found: dict[str, list[str]] = {}
    for pair in text.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            found.setdefault(unquote(name), []).append(unquote(value))
    return found


def unquote(text: str, plus: bool = True) -> str:
    """Undoes percent-encoding; what is not UTF-8 is replaced."""
    if plus:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    first, *parts = text.encode("utf-8", "surrogatepass").split(b"%")
    out = bytearray(first)
    for part in parts:
        code = part[:2]
        if len(code) == 2 and code[0] in _HEX and code[1] in _HEX:
            out.append(int(code, 16))
            out += part[2:]
        else:
            out += b"%" + part
    return out.decode("utf-8", "replace")
