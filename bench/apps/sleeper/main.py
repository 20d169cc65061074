import time


def handler(event):
    time.sleep(1)
    return {"slept": 1}
