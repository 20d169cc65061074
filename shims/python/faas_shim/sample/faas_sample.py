"""The function of a rehearsal: it does what most first calls do."""

import sys


def takes_event(event, context):
    # One write: an unfinished line would start a thread to send it.
    sys.stdout.write(f"{event['name']} {context.run_id}\n")
    return {"name": event["name"], "list": [1, 2.5, None, True]}


def takes_names(name: str, number: int = 0, ratio: float = 1.0, items: list = ()):
    sys.stderr.write(f"{name}\n")
    return [name, number * ratio, items]
