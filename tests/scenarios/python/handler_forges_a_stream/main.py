import ctypes
import os
import struct


def handler(event):
    print("last words")
    os.write(3, struct.pack('<IBBHI', 0, 0x85, 1, 0, 99))
    return [ctypes, struct, os] and "still here"
