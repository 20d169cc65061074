import os
import time


def handler(event):
    os.kill(os.getpid(), 9)
    time.sleep(10)
