"""Clients as users write them: connections stay at the module, for later calls of the same instance."""

import asyncio
import contextlib
import smtplib
import socket
import time
from email.message import EmailMessage
from functools import cache

LARGE = 8 << 20


def handler(client: str, do: str, at: dict):
    """Does one of a client's functions; `at` says where the servers are."""
    began = time.monotonic()
    try:
        return {"ok": globals()[f"{client}_{do}"](at)}
    except Exception as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        return {"error": kinds, "text": str(error), "seconds": time.monotonic() - began}


LOOP = asyncio.new_event_loop()


def awaited(work):
    return LOOP.run_until_complete(work)


# === requests ===


@cache
def requests_session():
    import requests

    return requests.Session()


def requests_small(at):
    return requests_session().get(f"{at['https']}/small", timeout=20).text


def requests_large(at):
    taken = requests_session().post(f"{at['https']}/up", data=bytes(LARGE), timeout=60).text
    return int(taken), len(requests_session().get(f"{at['https']}/large", timeout=60).content)


def requests_kept(at):
    return requests_session().get(f"{at['https']}/small", timeout=20).headers["X-Connection"]


def requests_to(at):
    return requests_session().get(at["url"], timeout=20).text


# === urllib3 ===


@cache
def urllib3_pool():
    import urllib3

    return urllib3.PoolManager(retries=False, timeout=20)


def urllib3_small(at):
    return urllib3_pool().request("GET", f"{at['https']}/small").data.decode()


def urllib3_large(at):
    taken = urllib3_pool().request("POST", f"{at['https']}/up", body=bytes(LARGE)).data
    return int(taken), len(urllib3_pool().request("GET", f"{at['https']}/large").data)


def urllib3_kept(at):
    return urllib3_pool().request("GET", f"{at['https']}/small").headers["X-Connection"]


def urllib3_to(at):
    return urllib3_pool().request("GET", at["url"]).data.decode()


# === httpx, with HTTP/2 ===


@cache
def httpx_client():
    import httpx

    return httpx.Client(http2=True, timeout=60, limits=httpx.Limits(keepalive_expiry=120))


def httpx_small(at):
    reply = httpx_client().get(f"{at['https']}/small")
    assert reply.http_version == "HTTP/2"
    return reply.text


def httpx_large(at):
    taken = httpx_client().post(f"{at['https']}/up", content=bytes(LARGE)).text
    return int(taken), len(httpx_client().get(f"{at['https']}/large").content)


def httpx_kept(at):
    return httpx_client().get(f"{at['https']}/small").headers["X-Connection"]


def httpx_to(at):
    return httpx_client().get(at["url"]).text


# === aiohttp ===

SESSIONS = []


async def aiohttp_get(url, what):
    import aiohttp

    if not SESSIONS:
        SESSIONS.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(keepalive_timeout=120)))
    async with SESSIONS[0].get(url) as reply:
        return await what(reply)


async def aiohttp_text(reply):
    return await reply.text()


async def aiohttp_length(reply):
    return len(await reply.read())


async def aiohttp_connection(reply):
    return reply.headers["X-Connection"]


async def aiohttp_up(url):
    async with SESSIONS[0].post(url, data=bytes(LARGE)) as reply:
        return int(await reply.text())


def aiohttp_small(at):
    return awaited(aiohttp_get(f"{at['https']}/small", aiohttp_text))


def aiohttp_large(at):
    got = awaited(aiohttp_get(f"{at['https']}/large", aiohttp_length))
    return awaited(aiohttp_up(f"{at['https']}/up")), got


def aiohttp_kept(at):
    return awaited(aiohttp_get(f"{at['https']}/small", aiohttp_connection))


def aiohttp_to(at):
    return awaited(aiohttp_get(at["url"], aiohttp_text))


# === asyncio ===

STREAMS = []


async def stream(at):
    if not STREAMS:
        reader, writer = await asyncio.open_connection(at["host"], at["echo"])
        STREAMS.append((reader, writer, (await reader.readexactly(8)).decode()))
    return STREAMS[0]


async def through(at, size):
    reader, writer, _ = await stream(at)

    async def write():
        writer.write(bytes(size))
        await writer.drain()

    _, got = await asyncio.gather(write(), reader.readexactly(size))
    return len(got)


async def opened(at):
    reader, writer = await asyncio.wait_for(asyncio.open_connection(at["host"], at["port"]), 20)
    writer.write(b"x")
    return (await reader.readexactly(1)).decode()


def asyncio_small(at):
    return awaited(through(at, 1))


def asyncio_large(at):
    return awaited(through(at, LARGE))


def asyncio_kept(at):
    return awaited(stream(at))[2]


def asyncio_to(at):
    return awaited(opened(at))


# === psycopg, with its pool ===


@cache
def psycopg_pool(host, port):
    from psycopg_pool import ConnectionPool

    return ConnectionPool(psycopg_where(host, port), min_size=1, max_size=1, open=True)


def psycopg_where(host, port):
    return f"host={host} port={port} user=app password='open-sesame' dbname=postgres sslmode=verify-full"


def psycopg_query(at, query, *values):
    with psycopg_pool(at["host"], at["postgres"]).connection(timeout=20) as connection:
        return connection.execute(query, values).fetchone()


def psycopg_small(at):
    return psycopg_query(at, "select 6 * 7, ssl from pg_stat_ssl where pid = pg_backend_pid()")


def psycopg_large(at):
    taken = psycopg_query(at, "select length(%s::bytea)", bytes(LARGE))[0]
    return taken, len(psycopg_query(at, "select repeat('x', %s)", LARGE)[0])


def psycopg_kept(at):
    return psycopg_query(at, "select pg_backend_pid()")[0]


def psycopg_to(at):
    import psycopg

    return psycopg.connect(psycopg_where(at["host"], at["port"]), connect_timeout=20)


# === redis ===


@cache
def redis_client(host, port):
    import redis

    return redis.Redis(host, port, socket_timeout=20)


def redis_small(at):
    client = redis_client(at["host"], at["redis"])
    client.set("a", "b")
    return client.get("a").decode()


def redis_large(at):
    client = redis_client(at["host"], at["redis"])
    client.set("large", bytes(LARGE))
    return len(client.get("large"))


def redis_kept(at):
    return redis_client(at["host"], at["redis"]).client_id()


def redis_to(at):
    return redis_client(at["host"], at["port"]).ping()


# === pymongo, by mongodb+srv ===


@cache
def mongo_client(uri):
    from pymongo import MongoClient

    return MongoClient(uri, serverSelectionTimeoutMS=20000)


def documents(at):
    return mongo_client(at["mongo"]).shop.orders


def pymongo_small(at):
    documents(at).insert_one({"name": "small", "price": 7})
    return documents(at).find_one({"name": "small"})["price"]


def pymongo_large(at):
    documents(at).insert_one({"name": "large", "data": bytes(LARGE)})
    return len(documents(at).find_one({"name": "large"})["data"])


def pymongo_kept(at):
    documents(at).find_one({"name": "small"})


def pymongo_to(at):
    from pymongo import MongoClient

    uri = f"mongodb://{at['host']}:{at['port']}/?serverSelectionTimeoutMS=3000"
    return MongoClient(uri, directConnection=True).admin.command("ping")


# === smtplib ===


def mail(at, subject, size):
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "a@mail.test", "b@mail.test"
    message.set_content("x" * 70 + "\n", cte="7bit")
    if size:
        message.set_content(("x" * 70 + "\n") * (size // 71), cte="7bit")
    with smtplib.SMTP(at["host"], at["smtp"], timeout=20) as server:
        return server.send_message(message)


def smtplib_small(at):
    return mail(at, "small", 0)


def smtplib_large(at):
    return mail(at, "large", LARGE)


def smtplib_to(at):
    return smtplib.SMTP(at["host"], at["port"], timeout=20).noop()


# === grpcio ===


@cache
def say(host, port):
    import grpc

    options = [("grpc.max_receive_message_length", -1)]
    channel = grpc.secure_channel(f"{host}:{port}", grpc.ssl_channel_credentials(), options=options)
    return channel.unary_unary("/echo.Echo/Say")


def grpcio_small(at):
    return say(at["host"], at["grpc"])(b"hello", timeout=20).split(b"\n")[1].decode()


def grpcio_large(at):
    return len(say(at["host"], at["grpc"])(bytes(LARGE), timeout=60).split(b"\n")[1])


def grpcio_kept(at):
    return say(at["host"], at["grpc"])(b"hello", timeout=20).split(b"\n")[0].decode()


def grpcio_to(at):
    return say(at["host"], at["port"])(b"hello", timeout=20).decode()


# === websockets ===


@cache
def websocket(host, port):
    from websockets.sync.client import connect

    return connect(f"ws://{host}:{port}/", max_size=64 << 20, open_timeout=20)


def websockets_said(at, message):
    socket = websocket(at["host"], at["websocket"])
    socket.send(message)
    return socket.recv(timeout=60)


def websockets_small(at):
    return websockets_said(at, "hello")


def websockets_large(at):
    return len(websockets_said(at, bytes(LARGE)))


def websockets_kept(at):
    return websockets_said(at, "who")


def websockets_to(at):
    return websocket(at["host"], at["port"]).recv(timeout=20)


# === datagrams, QUIC and names ===


def udp_small(at):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(20)
        one.connect((at["host"], at["udp"]))
        one.send(b"hello")
        return one.recv(100).decode()


def udp_large(at):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(20)
        one.connect((at["host"], at["udp"]))
        sizes = []
        for size in (1200, 1472, 9000):
            one.send(bytes(size))
            sizes.append(len(one.recv(1 << 16)))
        return sizes


def aioquic_small(at):
    return awaited(http3(at, b"hello"))


def aioquic_large(at):
    return awaited(http3(at, bytes(LARGE)))


async def http3(at, body):
    from aioquic.asyncio.client import connect
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.h3.connection import H3Connection
    from aioquic.h3.events import DataReceived
    from aioquic.quic.configuration import QuicConfiguration

    class Client(QuicConnectionProtocol):
        def quic_event_received(self, event):
            for got in self.http.handle_event(event) if hasattr(self, "http") else ():
                if isinstance(got, DataReceived) and got.stream_ended:
                    self.answer.set_result(got.data.decode())

    configuration = QuicConfiguration(alpn_protocols=["h3"])
    configuration.load_verify_locations("/function/ca.pem")
    async with connect(at["host"], at["http3"], configuration=configuration, create_protocol=Client) as client:
        client.http, client.answer = H3Connection(client._quic), LOOP.create_future()
        stream, host = client._quic.get_next_available_stream_id(), at["host"].encode()
        start = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", host), (b":path", b"/")]
        client.http.send_headers(stream, start)
        client.http.send_data(stream, body, end_stream=True)
        client.transmit()
        return await asyncio.wait_for(client.answer, 60)


def dns_records(at):
    """Answers by `dnspython` as the sandbox is set up: SRV, TXT beyond a datagram, a chain, and none."""
    import dns.resolver

    told = {}
    for name, kind in at["names"]:
        try:
            told[f"{name} {kind}"] = sorted(record.to_text() for record in dns.resolver.resolve(name, kind))
        except dns.exception.DNSException as error:
            told[f"{name} {kind}"] = type(error).__name__
    return told


def dns_seconds(at):
    """The longest of these look-ups by the C library, for both families."""
    took = []
    for name in at["names"]:
        began = time.monotonic()
        with contextlib.suppress(socket.gaierror):
            socket.getaddrinfo(name, 443)
        took.append(time.monotonic() - began)
    return max(took)
