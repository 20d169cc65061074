"""How a user's callable wants to be called, read from its signature. A leading underscore of a name does not count.

- an ASGI application: first parameters `scope, receive, send`
- an event handler: first parameter named `event`, then perhaps the context; or `*args` alone
- a request handler: the only parameter is named `request` or `req`
- a plain function: anything else

A decorator that takes `*args, **kwargs` is looked through, whether it uses `functools.wraps` or not.
"""

from __future__ import annotations

from .errors import LoadError

ASGI, EVENT, PLAIN = "asgi", "event", "plain"

_POSITIONAL_VARARGS, _KEYWORD_VARARGS, _COROUTINE, _ASYNC_GENERATOR = 0x04, 0x08, 0x80, 0x200
_FUNCTION = type(lambda: None)
_METHOD = type(type("_", (), {"m": lambda self: None})().m)
_DEPTH_MAX = 32
_APPLICATION = ("scope", "receive", "send")
# `_` marks a parameter that is not used; no request could fill it by that name.
_EVENTS = ("event", "evt", "")
_DOUBTFUL = ("context", "ctx", "request", "req", "environ", "scope")
# One letter is no name for a key of a body.
_SHORT = (("e", "ev"), ("c", "cx", "ctx", "context"))
_REQUESTS, _RESPONSES = ("request", "req"), ("response", "res", "resp")


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


class Shape:
    """The parameters of a callable. `named` are those that only a name fills."""

    __slots__ = ("function", "positional", "named", "takes_list", "takes_any", "is_async")

    def __init__(self, function: object = None) -> None:
        # Whose annotations are still to be read.
        self.function = function
        self.positional: list[Parameter] = []
        self.named: list[Parameter] = []
        self.takes_list = False
        self.takes_any = False
        self.is_async = False

    def names(self) -> tuple[str, ...]:
        """Those of positional parameters, without leading underscores."""
        return tuple(parameter.name.lstrip("_") for parameter in self.positional)


class Contract:
    """What was found out about a callable."""

    __slots__ = ("call", "kind", "is_async", "parameters", "takes_context", "takes_request", "takes_any")

    def __init__(self, call: object, kind: str, is_async: bool) -> None:
        self.call = call
        self.kind = kind
        self.is_async = is_async
        self.parameters: list[Parameter] = []
        self.takes_context = False
        self.takes_request = False
        self.takes_any = False

    def doubt(self, name: str) -> str | None:
        """What to say of a plain function that may have been meant as something else."""
        names = [parameter.name for parameter in self.parameters]
        if self.kind != PLAIN or not (any(each.lstrip("_") in _DOUBTFUL for each in names) or self._is_short(names)):
            return None
        shown = ", ".join(f"`{each}`" for each in names)
        return (
            f"`{name}` is taken for a plain function: keys of the JSON body or of the query fill {shown}; "
            f"define `{name}(event, context)` to get the whole event and the context"
        )

    def _is_short(self, names: list[str]) -> bool:
        """Whether the parameters look like an event and a context with names that only people understand."""
        bare = all(each.annotation is Missing and each.default is Missing for each in self.parameters)
        fits = all(each.lstrip("_") in known for each, known in zip(names, _SHORT, strict=False))
        return bare and fits and 1 <= len(names) <= len(_SHORT)

    def shown(self) -> str:
        """As people call it."""
        kind = "request" if self.takes_request else self.kind
        return f"async {kind}" if self.is_async and kind != ASGI else kind


def read(target: object, name: str) -> Contract:
    """The contract of the entrypoint's object."""
    if not callable(target):
        hint = "name a function or an ASGI application in `entrypoint`"
        raise LoadError("EntrypointNotCallable", f"`{name}` is a {type(target).__name__}, not a callable", hint)
    if isinstance(target, type):
        hint = f"name an instance or a function, such as `app = {name}()`"
        raise LoadError("EntrypointNotCallable", f"`{name}` is a class", hint)
    return _read(target, name, 0)


def _read(target: object, name: str, depth: int) -> Contract:
    function, bound = underlying(target)
    if depth == 0 and function is target and function.__code__.co_varnames[:1] == ("self",):  # type: ignore[attr-defined]
        _refuse_method(function, name)
    shape = _inspected(target) if function is None else _shape(function, bound)
    names = shape.names()
    is_app = function is not target and not isinstance(target, _METHOD)
    if names[:3] == _APPLICATION or (is_app and shape.is_async and len(names) == 3):
        return Contract(target, ASGI, True)
    _refuse(shape, names, name)
    if names[:1] and names[0] in _EVENTS:
        return _event(target, shape, name)
    if not names and not shape.named and shape.takes_list:
        return _passing(target, function, shape, name, depth)
    _annotate(shape)
    if len(names) == 1 and names[0] in _REQUESTS and not shape.named and _is_request(shape.positional[0], name):
        contract = Contract(target, EVENT, shape.is_async)
        contract.takes_request = True
        return contract
    contract = Contract(target, PLAIN, shape.is_async)
    contract.parameters = shape.positional + shape.named
    contract.takes_any = shape.takes_any
    return contract


def _refuse_method(function: object, name: str) -> None:
    """Raises for a method that has no object to work on."""
    if not function.__code__.co_argcount:  # type: ignore[attr-defined]
        return
    owner, _, method = name.rpartition(".")
    hint = f"leave `self` out: `def {method}(event, context)`"
    if owner:
        made, module = owner.rpartition(".")[2].lower(), function.__module__  # type: ignore[attr-defined]
        hint = f'make an object, `{made} = {owner}()`, and name its method: `entrypoint = "{module}:{made}.{method}"`'
    message = f"`{name}` takes `self`, and there is no object that it is called on"
    raise LoadError("EntrypointSignature", message, hint)


def _refuse(shape: Shape, names: tuple[str, ...], name: str) -> None:
    """Raises for what is called in ways that are not served here."""
    event_hint = f"define it as `def {name}(event, context)`"
    if names[:2] == ("environ", "start_response"):
        from .hints import for_wsgi

        raise LoadError("WsgiApplication", f"`{name}` is a WSGI application; ASGI is served here", for_wsgi(name))
    if names[:2] == ("context", "event"):
        raise LoadError("EntrypointSignature", f"`{name}` takes the context first; the event comes first", event_hint)
    if len(names) == 2 and names[0] in _REQUESTS and names[1] in _RESPONSES:
        message = f"`{name}` writes to a response that it is given; here it returns the reply"
        raise LoadError("EntrypointSignature", message, f"define it as `def {name}(request)` and return the reply")


def _is_request(parameter: Parameter, name: str) -> bool:
    """Whether a parameter of this name is filled with the request, rather than with a value of that name."""
    kind = parameter.annotation
    if kind is Missing and parameter.default is Missing:
        return True
    if getattr(kind, "__name__", None) == "Request":
        message = f"`{name}` wants a {kind.__module__}.Request, which only an application of that framework gets"
        hint = "name the application in `entrypoint`, such as `main:app`, or leave the annotation out"
        raise LoadError("EntrypointSignature", message, hint)
    return False


def underlying(target: object) -> tuple[object, int]:
    """The function whose signature counts, and how many of its first parameters are bound already."""
    bound = 0
    for _ in range(_DEPTH_MAX):
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


def _event(target: object, shape: Shape, name: str) -> Contract:
    contract = Contract(target, EVENT, shape.is_async)
    needed = [each for each in shape.positional[2:] + shape.named if each.default is Missing]
    if needed:
        hint = f"define it as `def {name}(event, context)`"
        raise LoadError(
            "EntrypointSignature", f"`{name}` has the parameter `{needed[0].name}` that nothing fills", hint
        )
    contract.takes_context = len(shape.positional) >= 2 or shape.takes_list
    return contract


def _passing(target: object, function: object, shape: Shape, name: str, depth: int) -> Contract:
    """Of a callable with `*args`: the contract of the one function that it closes over, which it most likely passes
    them to; else that of an event handler."""
    inner = _enclosed(target, function) if depth < _DEPTH_MAX else None
    contract = _read(inner, name, depth + 1) if inner is not None else None
    if contract is None or (contract.kind == PLAIN and not shape.takes_any):
        contract = Contract(target, EVENT, shape.is_async)
        contract.takes_context = True
    contract.call = target
    contract.is_async = contract.is_async or shape.is_async
    return contract


def _enclosed(target: object, function: object) -> object:
    """The only function in the closure of a function or in the attributes of an object."""
    held = [] if isinstance(target, _FUNCTION) else list(getattr(target, "__dict__", {}).values())
    for cell in getattr(function, "__closure__", None) or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:
            continue
    functions = [each for each in held if isinstance(each, (_FUNCTION, _METHOD)) or hasattr(each, "__wrapped__")]
    return functions[0] if len(functions) == 1 else None


def _shape(function: object, bound: int) -> Shape:
    shape = Shape(function)
    code = function.__code__
    count = code.co_argcount
    shape.is_async = bool(code.co_flags & (_COROUTINE | _ASYNC_GENERATOR))
    shape.takes_list = bool(code.co_flags & _POSITIONAL_VARARGS)
    shape.takes_any = bool(code.co_flags & _KEYWORD_VARARGS)
    names = code.co_varnames[: count + code.co_kwonlyargcount]
    defaults = dict(zip(reversed(names[:count]), reversed(function.__defaults__ or ()), strict=False))
    defaults.update(function.__kwdefaults__ or {})
    for index, name in enumerate(names[bound:], start=bound):
        parameter = Parameter(name, Missing, defaults.get(name, Missing), index < code.co_posonlyargcount)
        (shape.positional if index < count else shape.named).append(parameter)
    return shape


def _annotate(shape: Shape) -> None:
    """Reads the annotations, which nobody but a plain function needs."""
    function = shape.function
    if function is None:
        return
    annotations = function.__annotations__ or {}
    for parameter in shape.positional + shape.named:
        kind = annotations.get(parameter.name, Missing)
        if isinstance(kind, str):
            # Text under `from __future__ import annotations`. What does not resolve is not checked.
            try:
                kind = eval(kind, function.__globals__)  # noqa: S307
            except Exception:
                continue
        parameter.annotation = kind


def _inspected(target: object) -> Shape:
    """The slow way, for partials, built-in functions and other rare callables."""
    from inspect import Parameter as Found
    from inspect import iscoroutinefunction, signature

    shape = Shape()
    shape.is_async = iscoroutinefunction(target) or iscoroutinefunction(getattr(target, "func", None))
    try:
        found = list(signature(target).parameters.values())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return shape
    for each in found:
        kind = Missing if each.annotation is Found.empty else each.annotation
        default = Missing if each.default is Found.empty else each.default
        parameter = Parameter(each.name, kind, default, each.kind is Found.POSITIONAL_ONLY)
        if each.kind is Found.VAR_KEYWORD:
            shape.takes_any = True
        elif each.kind is Found.VAR_POSITIONAL:
            shape.takes_list = True
        else:
            (shape.named if each.kind is Found.KEYWORD_ONLY else shape.positional).append(parameter)
    return shape
