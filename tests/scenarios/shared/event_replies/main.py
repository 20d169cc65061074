def lines():
    print("streaming")
    yield {"n": 1}
    yield {"n": 2}


def nothing():
    return
    yield


REPLIES = {
    "text": "grüße",
    "bytes": b"abc",
    "none": None,
    "number": 1.5,
    "list": [1, 2],
    "nested": {"a": [{"b": None}]},
    "proxy": {"statusCode": 302, "headers": {"Location": "/x"}, "body": ""},
    "proxy64": {"statusCode": 200, "body": "AAE=", "isBase64Encoded": True, "cookies": ["c=1"]},
    "proxyjson": {"statusCode": "200", "body": {"a": 1}},
    "response": {"status": 202, "headers": {"Content-Type": "text/html", "Set-Cookie": ["a=1", "b=2"]}, "body": "<p>"},
    "empty": {"status": 204, "body": None},
    "data": {"status": "ok", "body": 1},
    "lines": lines,
    "nothing": nothing,
}


def handler(event):
    value = REPLIES[event]
    return value() if callable(value) else value
