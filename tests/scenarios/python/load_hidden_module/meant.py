import logging


def handler(event):
    return logging.LEVEL
