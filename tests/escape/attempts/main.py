"""Runs the attempt that the event names."""

from importlib import import_module


def handler(event, context):
    return import_module(event["attempt"]).attempt(event)
