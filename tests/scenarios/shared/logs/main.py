import os
import subprocess
import sys


def handler(event):
    if event == "print":
        print("one", 2)
        print("two\nthree")
        print("err", file=sys.stderr)
        sys.stdout.write("part")
        sys.stdout.buffer.write(b"ial bytes")
    elif event == "raw":
        os.write(1, b"raw out\nunfinished")
    elif event == "child":
        subprocess.run(["/bin/sh", "-c", "echo from a child"], check=True)
    elif event == "long":
        print("x" * 20_000)
        print("short")
    elif event == "flood":
        for _ in range(200):
            print("y" * 10_000)
    return "ok"
