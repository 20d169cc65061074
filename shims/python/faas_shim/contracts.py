"""How a user's callable wants to be called, read from its signature.

- an ASGI application: first parameters `scope, receive, send`
- an event handler: first parameter named `event`, then perhaps the context
- a plain function: anything else
"""

from __future__ import annotations

from .errors import LoadError

ASGI, EVENT, PLAIN = "asgi", "event", "plain"

_POSITIONAL_VARARGS, _KEYWORD_VARARGS, _COROUTINE, _ASYNC_GENERATOR = 0x04, 0x08, 0x80, 0x200
_FUNCTION = type(lambda: None)
_METHOD = type(type("_", (), {"m": lambda self: None})().m)


class Missing:
    """Stands for a default or annotation that is not there."""


class Parameter:
    """One parameter of a plain function."""

    __slots__ = ("name", "annotation", "default", "positional_only")

    def __init__(self, name: str, annotation: object, default: object, positional_only: bool) -> None:
        self.name = name
        self.annotation = annotation
        self.default = default
        self.positional_only = positional_only


class Contract:
    """What was found out about a callable."""

    __slots__ = ("call", "kind", "is_async", "parameters", "takes_context", "takes_any")

    def __init__(self, call: object, kind: str, is_async: bool) -> None:
        self.call = call
        self.kind = kind
        self.is_async = is_async
        self.parameters: list[Parameter] = []
        self.takes_context = False
        self.takes_any = False


def read(target: object, name: str) -> Contract:
    """The contract of the entrypoint's object."""
    if not callable(target):
        hint = "name a function or an ASGI application in `entrypoint`"
        raise LoadError("EntrypointNotCallable", f"`{name}` is a {type(target).__name__}, not a callable", hint)
    if isinstance(target, type):
        hint = f"name an instance or a function, such as `app = {name}()`"
        raise LoadError("EntrypointNotCallable", f"`{name}` is a class", hint)
    function, bound = _underlying(target)
    if function is None:
        return _from_inspect(target)
    code = function.__code__
    names = code.co_varnames[bound : code.co_argcount]
    is_async = bool(code.co_flags & (_COROUTINE | _ASYNC_GENERATOR))
    is_app = function is not target and not isinstance(target, _METHOD)
    if names[:3] == ("scope", "receive", "send") or (is_app and is_async and len(names) == 3):
        return Contract(target, ASGI, True)
    if names[:2] == ("environ", "start_response"):
        hint = "wrap it: `pip install --target vendor a2wsgi`, then `app = a2wsgi.ASGIMiddleware(app)`"
        raise LoadError("WsgiApplication", f"`{name}` is a WSGI application; ASGI is served here", hint)
    if names[:1] == ("event",):
        return _event(target, function, names, is_async, name)
    return _plain(target, function, bound, is_async)


def _underlying(target: object) -> tuple[object, int]:
    """The function whose signature counts, and how many of its first parameters are bound already."""
    bound = 0
    for _ in range(32):
        wrapped = getattr(target, "__wrapped__", None)
        if isinstance(target, _METHOD):
            target, bound = target.__func__, bound + 1
        elif wrapped is not None and callable(wrapped):
            target = wrapped
        elif isinstance(target, _FUNCTION):
            return target, bound
        else:
            call = getattr(type(target), "__call__", None)
            if not isinstance(call, _FUNCTION):
                return None, 0
            target, bound = call, bound + 1
    return None, 0


def _event(target: object, function: object, names: tuple[str, ...], is_async: bool, name: str) -> Contract:
    contract = Contract(target, EVENT, is_async)
    code = function.__code__
    needed = len(names) - len(function.__defaults__ or ())
    if needed > 2:
        hint = f"define it as `def {name}(event, context)`"
        raise LoadError("EntrypointSignature", f"`{name}` has the parameter `{names[2]}` that nothing fills", hint)
    contract.takes_context = len(names) >= 2 or bool(code.co_flags & _POSITIONAL_VARARGS)
    return contract


def _plain(target: object, function: object, bound: int, is_async: bool) -> Contract:
    contract = Contract(target, PLAIN, is_async)
    code = function.__code__
    count = code.co_argcount
    names = code.co_varnames[: count + code.co_kwonlyargcount]
    defaults = dict(zip(reversed(names[:count]), reversed(function.__defaults__ or ()), strict=False))
    defaults.update(function.__kwdefaults__ or {})
    annotations = _annotations(function)
    for index, name in enumerate(names[bound:], start=bound):
        kind = annotations.get(name, Missing)
        only = index < code.co_posonlyargcount
        contract.parameters.append(Parameter(name, kind, defaults.get(name, Missing), only))
    contract.takes_any = bool(code.co_flags & _KEYWORD_VARARGS)
    return contract


def _annotations(function: object) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, kind in (function.__annotations__ or {}).items():
        if isinstance(kind, str):
            # Text under `from __future__ import annotations`. What does not resolve is not checked.
            try:
                kind = eval(kind, function.__globals__)  # noqa: S307
            except Exception:
                continue
        found[name] = kind
    return found


def _from_inspect(target: object) -> Contract:
    """The slow way, for partials, built-in functions and other rare callables."""
    from inspect import Parameter as Shape
    from inspect import iscoroutinefunction, signature

    try:
        shapes = list(signature(target).parameters.values())
    except (TypeError, ValueError):
        shapes = []
    is_async = iscoroutinefunction(target) or iscoroutinefunction(getattr(target, "func", None))
    names = tuple(shape.name for shape in shapes)
    if names[:3] == ("scope", "receive", "send"):
        return Contract(target, ASGI, True)
    contract = Contract(target, EVENT if names[:1] == ("event",) else PLAIN, is_async)
    if contract.kind == EVENT:
        contract.takes_context = len(names) >= 2
        return contract
    for shape in shapes:
        if shape.kind is Shape.VAR_KEYWORD:
            contract.takes_any = True
        elif shape.kind is not Shape.VAR_POSITIONAL:
            kind = Missing if shape.annotation is Shape.empty else shape.annotation
            default = Missing if shape.default is Shape.empty else shape.default
            only = shape.kind is Shape.POSITIONAL_ONLY
            contract.parameters.append(Parameter(shape.name, kind, default, only))
    return contract
