import asyncio
import sys

DONE = {"type": "http.response.body", "body": b"done"}


def outer():
    inner()


def inner():
    raise RuntimeError("detail for the log")


async def handler(scope, receive, send):
    if scope["type"] != "http":
        return
    path = scope["path"]
    status = {"/raises": 500, "/status": 99}.get(path, 200)
    await send({"type": "http.response.start", "status": status, "headers": []})
    if path == "/unsent":
        raise RuntimeError("detail for the log")
    if path == "/begun":
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise RuntimeError("detail for the log")
    if path == "/raises":
        await send({"type": "http.response.body", "body": b'{"error": "custom"}'})
        raise RuntimeError("detail for the log")
    await send(DONE)
    if path == "/background":
        await asyncio.sleep(0.01)
        raise RuntimeError("detail for the log")
    if path == "/called":
        outer()
    if path == "/again":
        await send(DONE)
    if path == "/exits":
        sys.exit(1)
