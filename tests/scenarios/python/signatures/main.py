import functools


class Request:
    pass


def passing(function):
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


def arguments_only(function):
    def inner(*args):
        return function(*args)

    return inner


def async_passing(function):
    async def inner(*args, **kwargs):
        return await function(*args, **kwargs)

    return inner


def unused(_event, _context):
    return {"event": _event, "context": hasattr(_context, "run_id")}


def unused_first(_, context):
    return {"event": {"a": 1}, "context": hasattr(context, "run_id")}


def unused_all(*_):
    return {"event": _[0], "context": hasattr(_[1], "run_id")}


def everything(*args, **kwargs):
    return {"event": args[0], "context": hasattr(args[1], "run_id") and not kwargs}


def arguments(*args):
    return {"event": args[0], "context": hasattr(args[1], "run_id")}


@passing
def wrapped(event, context):
    return unused(event, context)


class Service:
    @arguments_only
    def call(self, event, context):
        return unused(event, context)


wrapped_method = passing(passing(Service().call))


@async_passing
async def async_wrapped(event, context):
    return unused(event, context)


def event_only(event):
    return {"event": event}


wrapped_event_only = passing(event_only)


@passing
def wrapped_plain(a: int):
    return a + 1


@passing
@functools.wraps(wrapped_plain)
def twice_wrapped(*args, **kwargs):
    return wrapped_plain(*args, **kwargs)


def request(request):
    return {"method": request.method, **request.json()}


def req(_req):
    return request(_req)


def request_text(request: str):
    return request


def plain_context(question, context):
    return question + context


def named(**kwargs):
    return kwargs


def positional(a=1, b=2, /):
    return [a, b]


def context_first(context, event):
    return event


def express(req, res):
    return req


def framework(request: Request):
    return request


def needs_more(event, context, *, database):
    return event


class Bare:
    def call(self, event, context):
        return unused(event, context)


bare = Bare()


def stray(self, event, context):
    return event


def short(e, c):
    return e + c
