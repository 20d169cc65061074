import os
import sys

LINE = "x" * 99 + "\n"


def handler(event):
    if event == "print":
        for _ in range(100_000):
            print(LINE, end="")
    elif event == "one":
        print("y" * 100_000_000)
    elif event == "raw":
        block = LINE.encode() * 10_000
        for _ in range(100):
            os.write(1, block)
    elif event == "buffer":
        sys.stdout.write(LINE * 500_000)
    elif event == "endless line":
        for _ in range(1_000_000):
            sys.stdout.write("zzzzzzzzzz")
    return "done"
