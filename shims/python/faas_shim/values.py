"""Values that are not JSON by themselves but have one obvious JSON form."""

from __future__ import annotations

import sys

_TEXTUAL = (("uuid", "UUID"), ("decimal", "Decimal"), ("pathlib", "PurePath"), ("ipaddress", "_IPAddressBase"))
_DATED = ("datetime", "date", "time")
_DEPTH_MAX = 64


class Unserializable(Exception):
    """A handler returned something that has no JSON form; the message names its type and place."""


def is_a(value: object, module: str, name: str) -> bool:
    """Whether a value has a type of this module, which is not imported for that."""
    # A value of such a type exists only when its module has been imported.
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def simplify(value: object) -> object:
    """One step towards JSON: dates to ISO 8601; UUID, Decimal and paths to text; enums to their value; sets to lists;
    dataclasses, named models and mappings to objects."""
    if any(is_a(value, "datetime", name) for name in _DATED):
        return value.isoformat()  # type: ignore[attr-defined]
    if is_a(value, "enum", "Enum"):
        return value.value  # type: ignore[attr-defined]
    if any(is_a(value, module, name) for module, name in _TEXTUAL):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is not None:
        return {name: getattr(value, name) for name in fields}
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    if is_a(value, "_collections_abc", "Mapping"):
        return dict(value)  # type: ignore[call-overload]
    raise TypeError(type(value).__name__)


def explain(value: object, cause: BaseException) -> Unserializable:
    """Finds what kept a returned value from becoming JSON."""
    if isinstance(cause, RecursionError):
        return Unserializable("the returned value is nested too deeply for JSON")
    found = _find(value, "$", [])
    return Unserializable(found or f"the returned value is not JSON: {cause}")


def _find(value: object, path: str, above: list[int]) -> str | None:
    if value is None or isinstance(value, (str, int)):
        return None
    if isinstance(value, float):
        return None if value - value == 0 else f"{value} at {path} is not JSON"
    if id(value) in above or len(above) > _DEPTH_MAX:
        return f"the value at {path} contains itself"
    above = [*above, id(value)]
    if isinstance(value, dict):
        return _find_in_dict(value, path, above)
    if isinstance(value, (list, tuple)):
        return _first(_find(item, f"{path}[{index}]", above) for index, item in enumerate(value))
    try:
        return _find(simplify(value), path, above)
    except Exception:
        kind = type(value)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        return f"a value of type {name} at {path} is not JSON"


def _find_in_dict(value: dict, path: str, above: list[int]) -> str | None:
    for key, item in value.items():
        if not (key is None or isinstance(key, (str, int, float))):
            return f"a key of type {type(key).__name__} in the object at {path} is not JSON"
        step = f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"
        found = _find(item, path + step, above)
        if found:
            return found
    return None


def _first(found) -> str | None:
    return next((text for text in found if text), None)
