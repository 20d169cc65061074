state = {}


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                scope["state"]["ready"] = True
                await send({"type": "lifespan.startup.complete"})
            else:
                await send({"type": "lifespan.shutdown.complete"})
                return
    body = b""
    more = True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    if scope["path"] == "/fail":
        raise ValueError("app failure")
    if scope["path"] == "/silent":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Method", scope["method"].encode())]})
    if scope["path"] == "/stream":
        for part in (b"a", b"b"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"c"})
        return
    text = repr([scope["path"], scope["raw_path"], scope["query_string"], scope["state"], len(body)])
    await send({"type": "http.response.body", "body": text.encode()})
