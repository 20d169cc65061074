def handler(event, context):
    if context.request.path == "/event":
        return f'"{"text" if isinstance(event, str) else "object"}"'
    try:
        return context.request.json()
    except ValueError:
        return {"statusCode": 400, "body": "bad JSON"}
