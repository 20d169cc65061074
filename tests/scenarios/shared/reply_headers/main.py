import datetime

MOMENT = datetime.datetime(2020, 1, 2, 4, 4, 5, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
REPLIES = {
    "date": {"statusCode": 200, "headers": {"Last-Modified": MOMENT}},
    "flags": {"statusCode": 200, "headers": {"Access-Control-Allow-Credentials": True, "X-No": False, "X-N": 3}},
    "none": {"statusCode": 200, "headers": {"X-None": None, "X-Some": "1", "Set-Cookie": None}, "cookies": None},
    "list": {"statusCode": 200, "headers": {"X-Many": ["a", 1, True, None]}},
    "cookie_text": {"statusCode": 200, "multiValueHeaders": {"Set-Cookie": "a=1"}},
    "cookies_text": {"statusCode": 200, "cookies": "a=1; Path=/"},
    "cookies": {"statusCode": 200, "headers": {"Set-Cookie": "z=0"}, "cookies": ["a=1", None, "b=2"]},
    "both": {
        "statusCode": 200,
        "headers": {"Content-Type": "text/plain", "X-One": "1"},
        "multiValueHeaders": {"content-type": ["text/html"], "X-Two": ["2"]},
        "body": "x",
    },
    "response": {"status": 201, "headers": {"X-Ok": True, "X-None": None}, "body": ""},
    "data": {"statusCode": 200, "headers": {"X-Data": {"a": 1}}},
    "nested": {"statusCode": 200, "headers": {"X-Data": [["a"]]}},
    "no_headers": {"statusCode": 200, "headers": "X-One: 1"},
    "bad_name": {"statusCode": 200, "headers": {"X One": "1"}},
    "split": {"statusCode": 200, "headers": {"X-One": "1\r\nX-Two: 2"}},
    "status_text": {"statusCode": "201"},
    "status_float": {"statusCode": 202.0},
    "status_part": {"statusCode": 200.5},
    "status_hex": {"statusCode": "0xc8"},
    "status_true": {"statusCode": True},
    "status_none": {"statusCode": None},
    "status_small": {"statusCode": 100},
    "base64_url": {"statusCode": 200, "body": "fn5-Pw==", "isBase64Encoded": True},
    "base64_open": {"statusCode": 200, "body": "aGVsbG8", "isBase64Encoded": True},
    "base64_lines": {"statusCode": 200, "body": "aGVs\nbG8=\n", "isBase64Encoded": True},
    "base64_bad": {"statusCode": 200, "body": "%%%%", "isBase64Encoded": True},
    "base64_short": {"statusCode": 200, "body": "aGVsb", "isBase64Encoded": True},
}


def handler(event):
    return REPLIES[event]
