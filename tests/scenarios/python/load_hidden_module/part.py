import logging.handlers

KINDS = logging.handlers


def handler(event):
    return event
