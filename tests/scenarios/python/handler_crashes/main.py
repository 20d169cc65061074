import ctypes
import os
import struct


def handler(event):
    print("last words")
    ctypes.string_at(0)
    return [ctypes, struct, os] and "still here"
