class Response:
    def __init__(self, body, status, headers):
        self.body, self.status, self.headers = body, status, headers


def chunks():
    yield "a"
    yield "b"


def handler(which: str):
    return {
        "text": "hello",
        "none": None,
        "pair": (1, 200),
        "bytes": b"\x00\x01",
        "response": Response("gone", 410, {"X-Why": "moved"}),
        "stream": chunks(),
    }[which]
