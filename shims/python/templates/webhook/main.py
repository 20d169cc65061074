"""{{name}}: called with the deliveries of a webhook, once their signature has been checked."""

import logging


def handler(event, context):
    """Takes a delivery.

    event: the decoded JSON body.
    context.request.headers: what the sender said besides, such as webhook-id.
    """
    kind = event.get("type", "unknown") if isinstance(event, dict) else "unknown"
    logging.info("a delivery of type %s", kind)
    return {"received": kind}
