"""What a program does with its network, measured from inside: a function, or a command that is asked line by line."""

import json
import socket
import sys
import time

PATIENCE_S = 30


def connect(host, port):
    """As programs do it that do not want to wait for more."""
    opened = socket.create_connection((host, port), timeout=PATIENCE_S)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def upload(host, port, count):
    """Seconds until the far end has taken so many bytes."""
    block = memoryview(bytes(1 << 20))
    with connect(host, port) as connection:
        began = time.perf_counter()
        # Its number, since not every stack passes on that a program sends no more.
        connection.sendall(b"sink %d\n" % (count >> 20 << 20))
        for _ in range(count >> 20):
            connection.sendall(block)
        answer = b""
        while piece := connection.recv(16):
            answer += piece
        if answer != b"taken":
            raise OSError("the far end did not take everything")
        return time.perf_counter() - began


def download(host, port, count):
    """Seconds until so many bytes of the far end are here."""
    block, got = bytearray(1 << 20), 0
    with connect(host, port) as connection:
        began = time.perf_counter()
        connection.sendall(b"flood %d\n" % count)
        while piece := connection.recv_into(block):
            got += piece
        took = time.perf_counter() - began
    if got != count:
        raise OSError(f"{got} of {count} bytes came")
    return took


def connects(host, port, count):
    """Microseconds of each connection."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        connection = socket.create_connection((host, port), timeout=PATIENCE_S)
        took.append((time.perf_counter() - began) * 1e6)
        connection.close()
    return took


def round_trips(host, port, count):
    """Microseconds of each round trip of 64 bytes."""
    took, question = [], bytes(64)
    with connect(host, port) as connection:
        connection.sendall(b"echo\n")
        for _ in range(count):
            began = time.perf_counter()
            connection.sendall(question)
            left = 64
            while left:
                piece = len(connection.recv(left))
                if not piece:
                    raise OSError("the far end has gone")
                left -= piece
            took.append((time.perf_counter() - began) * 1e6)
    return took


WORKS = {work.__name__: work for work in (upload, download, connects, round_trips)}


def handler(work: str, host: str, port: int, count: int):
    """One of these, as a function."""
    return WORKS[work](host, port, count)


def main():
    """The same as a command: one document a line, in both directions."""
    for line in sys.stdin:
        try:
            answer = {"result": handler(**json.loads(line))}
        except OSError as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
