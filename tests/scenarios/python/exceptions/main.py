import sys

import helper


class Custom(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def forever(n):
    return forever(n + 1)


def chained():
    try:
        helper.fail()
    except ValueError as error:
        raise KeyError("outer") from error


def handler(event):
    if event == "divide":
        return 1 / 0
    if event == "helper":
        helper.fail()
    if event == "vendored":
        helper.vendored()
    if event == "custom":
        raise Custom
    if event == "recursion":
        return forever(0)
    if event == "chained":
        chained()
    if event == "exit":
        sys.exit(3)
    if event == "interrupt":
        raise KeyboardInterrupt
    if event == "json":
        import json

        json.loads("{")
    if event == "memory":
        raise MemoryError("no")
    if event == "long":
        raise ValueError("x" * 5_000_000)
    return "fine"
