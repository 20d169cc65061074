"""Runs the attempt that the event names."""

from importlib import import_module


def handler(event, context):
    if "attempt" not in event:
        return "here"
    return import_module(event["attempt"]).attempt(event)
