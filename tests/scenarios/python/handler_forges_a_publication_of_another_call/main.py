import os
import struct


def handler(event):
    payload = struct.pack("<I", 16) + b'{"kind":"event"}'
    os.write(3, struct.pack("<IBBHI", len(payload), 0x8A, 0, 0, 99) + payload)
    return [struct, os] and "still here"
