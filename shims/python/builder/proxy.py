"""The way out for installers: an HTTP proxy on this sandbox's own loopback. The server decides where it leads."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

from link import CHUNK_LEN, Link, Refused, Tunnel

HEAD_MAX = 64 << 10
# Connections to the outside at once. The server ends a build that has more than 32, those that are ending included.
TUNNELS_MAX = 24
# Headers between client and proxy only. A connection carries one request: the next may be for another host.
HOP_HEADERS = (b"connection", b"proxy-connection", b"proxy-authorization", b"keep-alive")


class Proxy:
    """Takes CONNECT, and requests with an absolute URL."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.places = asyncio.Semaphore(TUNNELS_MAX)

    async def start(self) -> int:
        """Listens; returns the port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD_MAX)
        return int(server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self.places:
            await self._serve_one(reader, writer)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnel = None
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
            if method == "CONNECT":
                host, _, port = target.rpartition(":")
                tunnel = await self.link.open(host.strip("[]"), int(port))
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                url = urlsplit(target)
                if url.scheme != "http" or url.hostname is None:
                    raise ValueError("only http:// URLs are requested of a proxy")
                tunnel = await self.link.open(url.hostname, url.port or 80)
                await tunnel.send(_of_origin(head, method, url.path or "/", url.query))
            await _carry(reader, writer, tunnel)
        except Refused as refused:
            _answer(writer, "403 Forbidden", str(refused))
        except (ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            _answer(writer, "400 Bad Request", str(error))
        except OSError:
            pass
        finally:
            if tunnel is not None:
                await tunnel.close()
            with contextlib.suppress(OSError):
                writer.close()
                await writer.wait_closed()


def _of_origin(head: bytes, method: str, path: str, query: str) -> bytes:
    """The head as the origin expects it."""
    target = f"{path}?{query}" if query else path
    lines = [line for line in head.split(b"\r\n")[1:] if line and line.split(b":")[0].lower() not in HOP_HEADERS]
    first = f"{method} {target} HTTP/1.1".encode("ascii")
    return b"\r\n".join([first, *lines, b"Connection: close", b"", b""])


def _answer(writer: asyncio.StreamWriter, status: str, text: str) -> None:
    body = text.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tunnel: Tunnel) -> None:
    """Both ways, until either end is done."""

    async def up() -> None:
        while data := await reader.read(CHUNK_LEN):
            await tunnel.send(data)

    async def down() -> None:
        while data := await tunnel.receive():
            writer.write(data)
            await writer.drain()
            await tunnel.taken(len(data))

    ways = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
    _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in left:
        way.cancel()
    await asyncio.gather(*ways, return_exceptions=True)
