"""Celery: what its worker runs, and how a caller hands it a job."""

import os
from collections.abc import Callable

from celery import Celery

app = Celery("jobs", broker=f"redis://127.0.0.1:{os.environ['REDIS_PORT']}/0")
# Acknowledged when it has ended, or a worker that dies takes its jobs with it. One connection for each caller.
app.conf.update(task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=64, broker_pool_limit=64)


@app.task(name="noop")
def noop(n: int) -> int:
    return n


def connect() -> Callable[[], object]:
    """What enqueues one job."""
    return lambda: noop.apply_async((1,))
