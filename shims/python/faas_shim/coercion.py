"""Checks a value against an annotation, and turns query text into it.

Known are the JSON types, unions, literals, enums, dataclasses, models with `model_validate`, dates, UUID and Decimal.
An annotation that is not known is not checked. Text becomes a number or boolean only where it came from a query or a
form; in JSON a string is a string.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Checker = Callable[[object, bool], object]

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_NONE = type(None)


class Mismatch(Exception):
    """A value does not fit; `path` leads to it inside the parameter."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


def shown(value: object) -> str:
    """A value as people call it, cut short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'the text "{value[:40]}..."' if len(value) > 40 else f'the text "{value}"'
    if isinstance(value, (int, float)):
        return f"the number {value}"[:60]
    return "an array" if isinstance(value, (list, tuple)) else "an object"


def checker_for(kind: object, nullable: bool = False) -> Checker:
    """The checker of an annotation."""
    check = _checker(kind)
    if not nullable:
        return check
    return lambda value, textual: None if value is None else check(value, textual)


def _checker(kind: object) -> Checker:
    simple = _SIMPLE.get(kind) if isinstance(kind, type) and not hasattr(kind, "__args__") else None
    if simple is not None:
        return simple
    if kind is None:
        return _null
    arguments = getattr(kind, "__args__", ())
    origin = getattr(kind, "__origin__", None)
    if hasattr(kind, "__metadata__"):
        return _checker(origin)
    if hasattr(kind, "__supertype__"):
        return _checker(kind.__supertype__)
    if type(kind).__name__ in ("UnionType", "_UnionGenericAlias") or getattr(origin, "_name", None) == "Union":
        return _union([_checker(argument) for argument in arguments], [_label(argument) for argument in arguments])
    if type(kind).__name__ == "_LiteralGenericAlias":
        return _literal(arguments)
    if origin in _COLLECTIONS:
        return _collection(origin, arguments)
    if origin in (_abc("Sequence"), _abc("Iterable"), _abc("Collection")):
        return _collection(list, arguments)
    if origin in (dict, _abc("Mapping"), _abc("MutableMapping")):
        return _mapping(arguments)
    if isinstance(kind, type):
        return _class(kind)
    return _anything


def _abc(name: str) -> object:
    # An annotation of such a class exists only when its module has been imported.
    return getattr(sys.modules.get("_collections_abc"), name, Mismatch)


def _last(value: object, textual: bool) -> object:
    return value[-1] if textual and isinstance(value, list) else value


def _anything(value: object, textual: bool) -> object:
    return _last(value, textual)


def _null(value: object, textual: bool) -> object:
    value = _last(value, textual)
    if value is None or (textual and value in ("", "null")):
        return None
    raise Mismatch(f"must be null, but is {shown(value)}")


def _integer(value: object, textual: bool) -> object:
    value = _last(value, textual)
    if type(value) is int:
        return value
    if textual and isinstance(value, str) and _is_plain(value):
        try:
            return int(value)
        except ValueError:
            pass
    elif type(value) is float and value.is_integer():
        return int(value)
    raise Mismatch(f"must be an integer, but is {shown(value)}")


def _number(value: object, textual: bool) -> object:
    value = _last(value, textual)
    number: float | None = None
    if type(value) in (float, int):
        try:
            number = float(value)  # type: ignore[arg-type]
        except OverflowError:
            raise Mismatch("is too large a number") from None
    elif textual and isinstance(value, str) and _is_plain(value):
        try:
            number = float(value)
        except ValueError:
            number = None
    # What is infinite or no number has no JSON, so that no handler could answer with it.
    if number is not None and number - number == 0:
        return number
    raise Mismatch(f"must be a number, but is {shown(value)}")


def _is_plain(text: str) -> bool:
    """Whether a number is written as elsewhere: Python alone takes `1_000` and the digits of other scripts."""
    return text.isascii() and "_" not in text


def _text(value: object, textual: bool) -> object:
    value = _last(value, textual)
    if isinstance(value, str):
        return value
    raise Mismatch(f"must be text, but is {shown(value)}")


def _boolean(value: object, textual: bool) -> object:
    value = _last(value, textual)
    if isinstance(value, bool):
        return value
    if textual and isinstance(value, str):
        if value.lower() in _TRUE:
            return True
        if value.lower() in _FALSE:
            return False
    raise Mismatch(f"must be true or false, but is {shown(value)}")


def _bytes(value: object, textual: bool) -> object:
    return str(_text(value, textual)).encode()


def _object(value: object, textual: bool) -> object:
    value = _last(value, textual)
    if isinstance(value, dict):
        return value
    raise Mismatch(f"must be an object, but is {shown(value)}")


def _collection(origin: object, arguments: tuple = ()) -> Checker:  # type: ignore[type-arg]
    make = _COLLECTIONS[origin]
    fixed = make is tuple and arguments and arguments[-1] is not Ellipsis
    checkers = [_checker(argument) for argument in arguments if argument is not Ellipsis] or [_anything]

    def check(value: object, textual: bool) -> object:
        if not isinstance(value, list):
            raise Mismatch(f"must be an array, but is {shown(value)}")
        if fixed and len(value) != len(checkers):
            raise Mismatch(f"must have {len(checkers)} items, but has {len(value)}")
        found = []
        for index, item in enumerate(value):
            try:
                found.append(checkers[index if fixed else 0](item, textual))
            except Mismatch as mismatch:
                raise Mismatch(str(mismatch), f"[{index}]{mismatch.path}") from None
        try:
            return found if make is list else make(found)
        except TypeError:
            raise Mismatch("must hold plain values only") from None

    return check


def _mapping(arguments: tuple) -> Checker:  # type: ignore[type-arg]
    check_value = _checker(arguments[1]) if len(arguments) == 2 else _anything

    def check(value: object, textual: bool) -> object:
        found = _object(value, textual)
        for key, item in found.items():  # type: ignore[attr-defined]
            try:
                found[key] = check_value(item, False)  # type: ignore[index]
            except Mismatch as mismatch:
                raise Mismatch(str(mismatch), f".{key}{mismatch.path}") from None
        return found

    return check


def _union(checkers: list[Checker], labels: list[str]) -> Checker:
    def check(value: object, textual: bool) -> object:
        # A value that needs no conversion wins over an earlier member that would convert it.
        fits: list[object] = []
        for checker in checkers:
            try:
                found = checker(value, textual)
            except Mismatch:
                continue
            if type(found) is type(_last(value, textual)) and not textual:
                return found
            fits.append(found)
        if fits:
            return fits[0]
        raise Mismatch(f"must be {' or '.join(labels)}, but is {shown(_last(value, textual))}")

    return check


def _literal(allowed: tuple) -> Checker:  # type: ignore[type-arg]
    def check(value: object, textual: bool) -> object:
        value = _last(value, textual)
        for choice in allowed:
            if (value == choice and type(value) is type(choice)) or (textual and value == str(choice)):
                return choice
        choices = ", ".join(repr(choice) for choice in allowed)
        raise Mismatch(f"must be one of {choices}, but is {shown(value)}")

    return check


def _class(kind: type) -> Checker:
    from .classes import checker_for_class

    return checker_for_class(kind, _checker) or _anything


def _label(kind: object) -> str:
    if kind is None or kind is _NONE:
        return "null"
    return _LABELS.get(kind) or getattr(kind, "__name__", None) or str(kind)  # type: ignore[call-overload]


_COLLECTIONS: dict[object, type] = {list: list, tuple: tuple, set: set, frozenset: frozenset}
_SIMPLE: dict[object, Checker] = {
    int: _integer,
    float: _number,
    str: _text,
    bool: _boolean,
    bytes: _bytes,
    dict: _object,
    object: _anything,
    _NONE: _null,
    **{kind: _collection(kind) for kind in (list, tuple, set, frozenset)},
}
_LABELS = {
    int: "an integer",
    float: "a number",
    str: "text",
    bool: "true or false",
    list: "an array",
    dict: "an object",
}
