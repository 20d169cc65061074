import threading


def deep():
    value = []
    for _ in range(200_000):
        value = [value]
    return value


def circular():
    value = {}
    value["self"] = [value]
    return value


def stream_fails():
    yield "one"
    raise ValueError("two")


REPLIES = {
    "lock": {"user": {"created": threading.Lock()}},
    "index": {"items": [1, {"a b": object()}]},
    "nan": {"x": float("nan")},
    "infinite": [float("-inf")],
    "bytes": {"raw": b"x"},
    "key": {"t": {(1, 2): 1}},
    "deep": deep,
    "circular": circular,
    "header": ("x", 200, {"X-A": "1\r\nX-B: 2"}),
    "name": ("x", 200, {"bad name": "1"}),
    "huge_header": ("x", 200, {"a": "b" * 2_000_000}),
    "large": "x" * (10 * 1024 * 1024 + 1),
    "stream_large": lambda: ("x" * 1024 * 1024 for _ in range(11)),
    "stream_fails": stream_fails,
    "proxy": {"statusCode": 999, "body": ""},
    "base64": {"statusCode": 200, "body": "x", "isBase64Encoded": True},
}


def handler(event):
    value = REPLIES[event]
    return value() if callable(value) else value
