def handler(event):
    return {"type": type(event).__name__, "event": event if not isinstance(event, bytes) else len(event)}
