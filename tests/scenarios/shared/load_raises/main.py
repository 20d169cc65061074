def prepare():
    raise RuntimeError("no settings")


prepare()


def handler(event):
    return event
