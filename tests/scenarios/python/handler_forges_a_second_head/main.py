import os
import struct

HEAD = b'{"status":200,"headers":[]}'


def frame(kind, payload, stream=1):
    return struct.pack("<IBBHI", len(payload), kind, 0, 0, stream) + payload


def handler(event):
    os.write(3, frame(0x83, HEAD) + frame(0x83, HEAD))
    return "still here"
