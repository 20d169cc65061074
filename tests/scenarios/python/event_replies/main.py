import datetime
import decimal
import enum
import pathlib
import uuid
from dataclasses import dataclass


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int


class Response:
    status_code = 201
    headers = [("X-A", "1"), ("X-A", "2")]
    body = {"made": True}


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
    "status": ({"made": 1}, 201),
    "headers": ("<p>", 202, {"Content-Type": "text/html", "Set-Cookie": ["a=1", "b=2"]}),
    "list": (1, 2),
    "proxy": {"statusCode": 302, "headers": {"Location": "/x"}, "body": ""},
    "proxy64": {"statusCode": 200, "body": "AAE=", "isBase64Encoded": True, "cookies": ["c=1"]},
    "proxyjson": {"statusCode": "200", "body": {"a": 1}},
    "response": Response(),
    "response_dict": {"status": 418, "headers": {"X-B": "3"}, "body": "teapot"},
    "data_dict": {"status": "ok", "body": 1},
    "lines": lines,
    "nothing": nothing,
    "status_stream": lambda: ((piece for piece in (b"x", b"y")), 206, {"content-type": "image/png"}),
    "rich": {
        "when": datetime.datetime(2026, 1, 31, 12, 30, tzinfo=datetime.timezone.utc),
        "day": datetime.date(2026, 1, 31),
        "id": uuid.UUID(int=1),
        "price": decimal.Decimal("1.10"),
        "colour": Colour.RED,
        "point": Point(1, 2),
        "set": {1},
        "path": pathlib.PurePosixPath("/a/b"),
        1: "key",
        "surrogate": "\ud800",
    },
}


def handler(event):
    value = REPLIES[event]
    return value() if callable(value) and not isinstance(value, Response) else value
