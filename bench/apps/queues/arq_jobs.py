"""arq: what its worker runs, and how a caller hands it a job."""

import os
from collections.abc import Awaitable, Callable

from arq import create_pool
from arq.connections import RedisSettings

SETTINGS = RedisSettings(host="127.0.0.1", port=int(os.environ["REDIS_PORT"]))


async def noop(ctx: dict, n: int) -> int:
    return n


class WorkerSettings:
    functions = [noop]  # noqa: RUF012
    redis_settings = SETTINGS
    # Its defaults, 10 jobs at once and a look every half second, would idle most of the time.
    max_jobs = 256
    poll_delay = 0.01
    # A record of the end is not wanted, which spares it a write.
    keep_result = 0


async def connect() -> Callable[[], Awaitable[object]]:
    """What enqueues one job."""
    pool = await create_pool(SETTINGS)

    async def send() -> object:
        return await pool.enqueue_job("noop", 1)

    return send
