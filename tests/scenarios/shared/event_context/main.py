import os


def handler(event, context):
    return {
        "event": event,
        "run": context.run_id.startswith("run_") and context.aws_request_id == context.run_id,
        "function": context.function,
        "version": context.version,
        "memory": context.memory_limit_mb,
        "time_left": 0 < context.get_remaining_time_in_millis() <= 30_000,
        "method": context.request.method,
        "path": context.request.path,
        "query": context.request.query,
        "header": context.request.headers["x-one"],
        "body": len(context.request.body),
        "greeting": os.environ["GREETING"],
        "name": os.environ["FAAS_FUNCTION"],
    }
