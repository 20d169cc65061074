"""{{name}}: takes messages of a topic, several at once."""

import logging


def work(order):
    """Does one piece of work."""
    logging.info("working on %s", order)


def handler(event, context):
    """Takes a batch. Messages that it names as failed come again; the others are done."""
    failed = []
    for message in event["messages"]:
        try:
            work(message["body"])
        except Exception:
            logging.exception("message %s failed", message["id"])
            failed.append(message["id"])
    return {"failed": failed}
