import functools


class Greeter:
    def __init__(self, greeting):
        self.greeting = greeting

    def greet(self, name):
        return f"{self.greeting} {name}"

    def __call__(self, name, /, *, mark="!"):
        return f"{self.greeting} {name}{mark}"


def traced(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


@traced
def wrapped(a: int, **rest):
    return [a, rest]


greeter = Greeter("hello")
partial = functools.partial(wrapped, b=2)


class Api:
    greet = greeter.greet
    call = greeter
    wrapped = staticmethod(wrapped)
    partial = partial

