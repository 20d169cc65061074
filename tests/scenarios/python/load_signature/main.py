def handler(event, context, extra):
    return event
