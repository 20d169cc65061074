"""Fills a plain function's parameters from the request."""

from __future__ import annotations

from .coercion import Mismatch, checker_for
from .context import Request, parse_query
from .contracts import Contract, Missing
from .jsons import NotJson, decode


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
        self.positional = [parameter.name for parameter in parameters if parameter.positional_only]

    def bind(self, request: Request) -> tuple[list[object], dict[str, object]]:
        """Positional and keyword arguments; raises Rejected."""
        given, textual = self._given(request)
        if not self.contract.takes_any and not given.keys() <= self.names:
            raise Rejected(self._unexpected(given))
        missing = [name for name in self.required if name not in given]
        if missing:
            raise Rejected(self._missing(missing, given))
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
        arguments: list[object] = []
        for name in self.positional:
            if name not in given:
                break
            arguments.append(given.pop(name))
        return arguments, given

    def _given(self, request: Request) -> tuple[dict[str, object], bool]:
        if not request.has_json_body():
            if request.body and request.method not in ("GET", "HEAD"):
                return parse_query(request.body.decode("utf-8", "replace")), True  # type: ignore[return-value]
            return dict(request.query_values), True
        try:
            value = decode(request.body)
        except NotJson as error:
            raise Rejected(f"the body is not JSON: {error}") from None
        if isinstance(value, dict):
            return value, False
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

    def _missing(self, missing: list[str], given: dict[str, object]) -> str:
        if len(missing) == 1:
            return f"parameter `{missing[0]}` is missing"
        *first, last = (f"`{name}`" for name in missing)
        return f"parameters {', '.join(first)} and {last} are missing"


def _article(value: object) -> str:
    from .coercion import shown

    return shown(value)
