import sys


def handler(event):
    if event == "parts":
        print("one ", end="", flush=True)
        print("two ", end="", flush=True)
        print("error line", file=sys.stderr, flush=True)
        print("three")
    elif event == "end":
        print("no end", end="", flush=True)
    if event == "parts":
        data = "grüße €\nfour".encode()
        for at in range(len(data)):
            sys.stdout.buffer.write(data[at : at + 1])
            sys.stdout.buffer.flush()
    return "ok"
