"""Checkers for annotations that are classes: enums, dataclasses, models, dates and the like."""

from __future__ import annotations

from .coercion import Mismatch, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .coercion import Checker

_PARSED = {
    ("datetime", "datetime"): ("a date and time in ISO 8601", lambda kind, text: kind.fromisoformat(_zulu(text))),
    ("datetime", "date"): ("a date such as 2026-01-31", lambda kind, text: kind.fromisoformat(text)),
    ("datetime", "time"): ("a time such as 12:30:00", lambda kind, text: kind.fromisoformat(text)),
    ("uuid", "UUID"): ("a UUID", lambda kind, text: kind(text)),
    ("decimal", "Decimal"): ("a decimal number", lambda kind, text: kind(str(text))),
    ("pathlib", "Path"): ("a path", lambda kind, text: kind(text)),
}


def checker_for_class(kind: type, checker: object) -> Checker | None:
    """The checker of a class; None when nothing is known about it."""
    parsed = _PARSED.get((kind.__module__.partition(".")[0], kind.__name__))
    if parsed:
        return _converted(parsed[0], lambda value: parsed[1](kind, value))
    if hasattr(kind, "__members__"):
        choices = ", ".join(repr(member.value) for member in kind)  # type: ignore[attr-defined]
        return _converted(f"one of {choices}", kind)
    validate = getattr(kind, "model_validate", None)
    if callable(validate):
        return _model(validate)
    if hasattr(kind, "__dataclass_fields__"):
        return _dataclass(kind, checker)
    if issubclass(kind, dict):
        return checker(dict)  # type: ignore[operator]
    return None


def _zulu(text: str) -> str:
    # Before Python 3.11 the letter Z is not understood.
    return text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text


def _converted(label: str, convert: object) -> Checker:
    def check(value: object, textual: bool) -> object:
        if textual and isinstance(value, list):
            value = value[-1]
        try:
            return convert(value)  # type: ignore[operator]
        except Exception:
            pass
        if textual:
            # Enums of numbers come from a query as text.
            try:
                return convert(int(value))  # type: ignore[operator, call-overload]
            except Exception:
                pass
        raise Mismatch(f"must be {label}, but is {shown(value)}")

    return check


def _model(validate: object) -> Checker:
    def check(value: object, textual: bool) -> object:
        try:
            return validate(value)  # type: ignore[operator]
        except Exception as error:
            raise Mismatch(f"does not fit: {_validation_text(error)}") from None

    return check


def _validation_text(error: Exception) -> str:
    details = getattr(error, "errors", None)
    try:
        first = details()[0]  # type: ignore[misc]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    except Exception:
        return str(error)[:500]


def _dataclass(kind: type, checker: object) -> Checker:
    from dataclasses import MISSING, fields
    from typing import get_type_hints

    try:
        hints = get_type_hints(kind)
    except Exception:
        hints = {}
    known = {field.name: checker(hints.get(field.name, object)) for field in fields(kind) if field.init}  # type: ignore[arg-type, operator]
    required = [
        field.name
        for field in fields(kind)  # type: ignore[arg-type]
        if field.init and field.default is MISSING and field.default_factory is MISSING
    ]

    def check(value: object, textual: bool) -> object:
        if isinstance(value, kind):
            return value
        if not isinstance(value, dict):
            raise Mismatch(f"must be an object, but is {shown(value)}")
        for name in required:
            if name not in value:
                raise Mismatch("is missing", f".{name}")
        found = {}
        for name, item in value.items():
            if name not in known:
                raise Mismatch("is not expected", f".{name}")
            try:
                found[name] = known[name](item, False)
            except Mismatch as mismatch:
                raise Mismatch(str(mismatch), f".{name}{mismatch.path}") from None
        return kind(**found)

    return check
