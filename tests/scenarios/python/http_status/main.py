from http import HTTPStatus

REPLIES = {
    "pair": ("made", HTTPStatus.CREATED),
    "triple": ("none", HTTPStatus.NOT_FOUND, {"X-One": 1}),
    "dict": {"status": HTTPStatus.ACCEPTED, "body": "taken"},
    "proxy": {"statusCode": HTTPStatus.IM_A_TEAPOT, "body": "tea"},
    "flag": ("made", True),
}


def handler(event):
    return REPLIES[event]
