"""Functions that several tests deploy."""

ADD = "def handler(x: int, y: int):\n    return x + y\n"
ECHO = """
def handler(event, context):
    request = context.request
    return {"event": event, "method": request.method, "path": request.path, "query": request.query}
"""
