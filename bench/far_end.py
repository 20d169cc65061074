"""The far end of the network section: `python -m bench.far_end` tells its port, and serves until its input ends."""

from __future__ import annotations

import os
import socket
import sys
import threading

BLOCK = 1 << 20


def bulk(connection: socket.socket, word: str, count: int) -> None:
    """Takes or sends so many bytes, in a process apart: its work shall not hold up answers to others."""
    if os.fork():
        return
    if word == "sink":
        room = bytearray(BLOCK)
        while count > 0:
            piece = connection.recv_into(room)
            if not piece:
                os._exit(1)
            count -= piece
        connection.sendall(b"taken")
    else:
        block = memoryview(bytes(BLOCK))
        for start in range(0, count, BLOCK):
            connection.sendall(block[: count - start])
    connection.shutdown(socket.SHUT_WR)
    os._exit(0)


def serve(connection: socket.socket) -> None:
    """One connection: a word says what is wanted."""
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = b""
        while not line.endswith(b"\n"):
            byte = connection.recv(1)
            if not byte:
                return
            line += byte
        word, _, count = line.decode().strip().partition(" ")
        if word != "echo":
            return bulk(connection, word, int(count or 0))
        while piece := connection.recv(4_096):
            connection.sendall(piece)


def main() -> None:
    """Accepts until nobody wants it any more."""
    listener = socket.create_server(("0.0.0.0", 0), backlog=1_024)
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
