"""Fills a plain function's parameters from the request."""

from __future__ import annotations

from .coercion import Mismatch, checker_for
from .context import Request, parse_query
from .contracts import Contract, Missing
from .jsons import NotJson, decode

# Where a function's parameters come from.
JSON, FORM, QUERY = range(3)


class Rejected(Exception):
    """The request does not fit the function; the message names the parameter."""


class Binder:
    """The parameters of one function, with a checker for each annotation made once."""

    __slots__ = ("contract", "names", "checkers", "required", "positional")

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        parameters = contract.parameters
        self.names = {parameter.name for parameter in parameters}
        self.checkers = {
            parameter.name: checker_for(parameter.annotation, parameter.default is None)
            for parameter in parameters
            if parameter.annotation is not Missing
        }
        self.required = [parameter.name for parameter in parameters if parameter.default is Missing]
        self.positional = [(each.name, each.default) for each in parameters if each.positional_only]

    def bind(self, request: Request) -> tuple[list[object], dict[str, object]]:
        """Positional and keyword arguments; raises Rejected."""
        given, source = self._given(request)
        textual, extra = source != JSON, {}
        if not self.contract.takes_any and not given.keys() <= self.names:
            # A query also carries what was never meant for the function, such as `utm_source`.
            if source != QUERY:
                raise Rejected(self._unexpected(given))
            given, extra = {name: value for name, value in given.items() if name in self.names}, given
        missing = [name for name in self.required if name not in given]
        if missing:
            raise Rejected(self._missing(missing, extra))
        for name, checker in self.checkers.items():
            if name in given:
                try:
                    given[name] = checker(given[name], textual)
                except Mismatch as mismatch:
                    raise Rejected(f"parameter `{name}{mismatch.path}` {mismatch}") from None
        if textual:
            # Without a list to fill, the last of several values counts.
            for name, value in given.items():
                if name not in self.checkers and isinstance(value, list):
                    given[name] = value[-1]
        if not self.positional:
            return [], given
        return [given.pop(name, default) for name, default in self.positional], given

    def _given(self, request: Request) -> tuple[dict[str, object], int]:
        if not request.has_json_body():
            if request.body and request.method not in ("GET", "HEAD"):
                return parse_query(request.body.decode("utf-8", "replace")), FORM  # type: ignore[return-value]
            return dict(request.query_values), QUERY
        try:
            value = decode(request.body)
        except NotJson as error:
            raise Rejected(f"the body is not JSON: {error}") from None
        if isinstance(value, dict):
            return value, JSON
        wanted = ", ".join(f"`{parameter.name}`" for parameter in self.contract.parameters) or "nothing"
        raise Rejected(f"the body must be a JSON object with {wanted}, not {_article(value)}")

    def _unexpected(self, given: dict[str, object]) -> str:
        from .hints import did_you_mean

        name = next(name for name in given if name not in self.names)
        meant = did_you_mean(name, sorted(self.names - given.keys()))
        if meant:
            return f"unexpected parameter `{name}`; did you mean `{meant}`?"
        known = ", ".join(f"`{parameter.name}`" for parameter in self.contract.parameters)
        return f"unexpected parameter `{name}`; " + (f"known are {known}" if known else "the function takes none")

    def _missing(self, missing: list[str], extra: dict[str, object]) -> str:
        if len(missing) == 1:
            text = f"parameter `{missing[0]}` is missing"
            return text + self._misspelt(missing[0], extra) if extra else text
        *first, last = (f"`{name}`" for name in missing)
        return f"parameters {', '.join(first)} and {last} are missing"

    def _misspelt(self, name: str, extra: dict[str, object]) -> str:
        from .hints import did_you_mean

        sent = did_you_mean(name, sorted(extra.keys() - self.names))
        return f"; did you mean it by `{sent}`?" if sent else ""


def _article(value: object) -> str:
    from .coercion import shown

    return shown(value)
