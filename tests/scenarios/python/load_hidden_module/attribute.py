import logging

log = logging.getLogger(__name__)


def handler(event):
    return event
