"""{{name}}: called by a schedule."""

import logging


def handler(event, context):
    """Does what is due. The time of the tick is in the header x-faas-scheduled-at."""
    due = context.request.headers.get("x-faas-scheduled-at")
    logging.info("due at %s", due)
    return {"done": True}
