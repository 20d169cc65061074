import ctypes
import os
import struct


def handler(event):
    print("last words")
    os._exit(3)
    return [ctypes, struct, os] and "still here"
