"""RQ: what its worker runs, and how a caller hands it a job."""

import os
from collections.abc import Callable

from redis import Redis
from rq import Queue


def noop(n: int) -> int:
    return n


def connect() -> Callable[[], object]:
    """What enqueues one job."""
    queue = Queue(connection=Redis(port=int(os.environ["REDIS_PORT"])))
    return lambda: queue.enqueue(noop, 1, result_ttl=0)
