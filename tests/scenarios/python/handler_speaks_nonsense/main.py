import ctypes
import os
import struct


def handler(event):
    print("last words")
    os.write(3, b'nonsense, and more than a header')
    return [ctypes, struct, os] and "still here"
