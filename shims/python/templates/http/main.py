"""{{name}}: a function that is called with an event."""

import logging
import os


def handler(event, context):
    """Answers a call.

    event: the decoded JSON body ({} when it is empty).
    context: run id, deadline and, in context.request, method, path, query and headers.
    The return value is the reply: JSON, text, bytes, or (body, status, headers).
    """
    name = event.get("name", "world") if isinstance(event, dict) else "world"
    logging.info("greeting %s", name)
    return {"message": f"{os.environ['GREETING']}, {name}"}
