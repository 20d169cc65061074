import logging
import os

log = logging.getLogger(__name__)


def handler(event, context):
    name = event.get("name", "world")
    log.info("greeting %s", name)
    return {
        "greeting": f"{os.environ['GREETING']}, {name}",
        "run": context.run_id,
        "version": context.version,
        "path": context.request.path,
        "remaining_ms": context.get_remaining_time_in_millis(),
    }
