import os

import cv2
import yaml


def handler(event, context):
    return os.name, cv2, yaml
