from dateutil.parser import parse


def handler(event):
    return parse(event)
