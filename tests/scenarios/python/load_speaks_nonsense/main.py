import os

os.write(3, b"\xff" * 64)


def handler(event):
    return event
