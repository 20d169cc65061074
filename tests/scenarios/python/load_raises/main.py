CONFIG = {}
LIMIT = CONFIG["limit"]


def handler(event):
    return LIMIT
