import cv2


def handler(event):
    return cv2.__version__
