from logging import getLogger

log = getLogger(__name__)


def handler(event):
    return event
