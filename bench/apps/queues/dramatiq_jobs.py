"""Dramatiq: what its worker runs, and how a caller hands it a job."""

import os
from collections.abc import Callable

import dramatiq
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(host="127.0.0.1", port=int(os.environ["REDIS_PORT"])))


@dramatiq.actor
def noop(n: int) -> None:
    pass


def connect() -> Callable[[], object]:
    """What enqueues one job."""
    return lambda: noop.send(1)
