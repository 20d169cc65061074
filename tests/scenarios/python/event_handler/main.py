import os


def handler(event, context):
    return {
        "event": event,
        "run": context.run_id.startswith("run_"),
        "function": context.function,
        "version": context.version,
        "memory": context.memory_limit_mb,
        "time_left": 0 < context.get_remaining_time_in_millis() <= 30_000,
        "deadline": context.deadline.timestamp() * 1000 == context.deadline_ms,
        "method": context.request.method,
        "path": context.request.path,
        "query": context.request.query,
        "header": context.request.headers["X-One"],
        "missing": context.request.headers.get("X-Two"),
        "greeting": os.environ["GREETING"],
    }
