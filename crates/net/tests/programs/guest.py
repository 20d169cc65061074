"""What runs inside: gives its namespace a device, hands it out, and does what it is asked to.

Descriptor 0 is a socket to the test: one JSON document a line in both directions, and the device in the first message.
"""

import ctypes
import errno
import fcntl
import json
import os
import random
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import traceback

TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 = 1, 2, 4
SIOCADDRT, SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFMTU, SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCGIFINDEX = (
    0x890B, 0x8916, 0x891C, 0x8922, 0x8913, 0x8914, 0x8933,
)  # fmt: skip
IFF_UP, RTF_UP, IFA_F_TENTATIVE = 1, 1, 0x40
NAME = b"eth0"
PATTERN = bytes(((i * i * 7 + i) >> 3) & 255 for i in range(65_521))
PATIENCE = 60
held = []


def pattern(start, length):
    """The bytes of the pattern from a place on."""
    offset = start % len(PATTERN)
    return (PATTERN * (length // len(PATTERN) + 2))[offset : offset + length]


def make_device():
    """A TUN device with addresses and routes, as a sandbox has it."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", NAME, flags))
    fcntl.ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:

        def address(text):
            return struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))

        for request, content in (
            (SIOCSIFADDR, address("192.0.0.2")),
            (SIOCSIFNETMASK, address("255.255.255.248")),
            (SIOCSIFMTU, struct.pack("i", 65_520)),
        ):
            fcntl.ioctl(control, request, struct.pack("16s24s", NAME, content))
        for name in (NAME, b"lo"):
            up = bytearray(fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16s24x", name)))
            up[16] |= IFF_UP
            fcntl.ioctl(control, SIOCSIFFLAGS, bytes(up))
        label = ctypes.create_string_buffer(NAME)
        route = struct.pack(
            "L16s16s16sHhLPhPLLH", 0, address("0.0.0.0"), address("0.0.0.0"), address("0.0.0.0"),
            RTF_UP, 0, 0, 0, 0, ctypes.addressof(label), 0, 0, 0,
        )  # fmt: skip
        fcntl.ioctl(control, SIOCADDRT, route)
        index = struct.unpack("16si20x", fcntl.ioctl(control, SIOCGIFINDEX, struct.pack("16s24x", NAME)))[1]
    make_v6(index)
    return device


def make_v6(index):
    """The same for IPv6, where the kernel has it."""
    try:
        control = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    except OSError:
        return
    with control:
        own = socket.inet_pton(socket.AF_INET6, "fdfa:a5::2")
        fcntl.ioctl(control, SIOCSIFADDR, struct.pack("16sIi", own, 128, index))
        route = struct.pack("16s16s16sIHHILIi", bytes(16), bytes(16), bytes(16), 0, 0, 1, 0, 0, RTF_UP, index)
        fcntl.ioctl(control, SIOCADDRT, route)
    # The kernel takes a moment to find out that nobody else has the address, and uses another one until then.
    while True:
        with open("/proc/net/if_inet6", encoding="ascii") as file:
            found = [line.split() for line in file if line.startswith("fdfa")]
        if found and not int(found[0][4], 16) & IFA_F_TENTATIVE:
            return
        time.sleep(0.001)


def connect(host, port):
    return socket.create_connection((host, port), timeout=PATIENCE)


def take_all(connection):
    parts = []
    while part := connection.recv(1 << 18):
        parts.append(part)
    return b"".join(parts)


def echo(host, port, size=100):
    with connect(host, port) as connection:
        connection.sendall(b"echo\n" + pattern(0, size))
        connection.shutdown(socket.SHUT_WR)
        return take_all(connection) == pattern(0, size)


def error_of(action):
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)
    return None


def refused(host, port, timeout=PATIENCE):
    def connecting():
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as connection:
            connection.settimeout(timeout)
            connection.connect((host, port))

    return error_of(connecting)


def upload(host, port, size):
    with connect(host, port) as connection:
        connection.sendall(b"take\n")
        for start in range(0, size, 1 << 20):
            connection.sendall(pattern(start, min(1 << 20, size - start)))
        connection.shutdown(socket.SHUT_WR)
        return take_all(connection).decode()


def download(host, port, size, pause=0.0, part=1 << 20):
    with connect(host, port) as connection:
        connection.sendall(b"send %d\n" % size)
        got, right = 0, True
        while piece := connection.recv(part):
            right = right and piece == pattern(got, len(piece))
            got += len(piece)
            if pause:
                time.sleep(pause)
        return [got, right]


def many(host, port, count):
    connections = [connect(host, port) for _ in range(count)]
    for n, connection in enumerate(connections):
        connection.sendall(b"echo\n" + b"%d" % n)
        connection.shutdown(socket.SHUT_WR)
    right = [take_all(connection) == b"%d" % n for n, connection in enumerate(connections)]
    for connection in connections:
        connection.close()
    return sum(right)


def hold(host, port, count):
    """Connections that have said something and stay."""
    for _ in range(count):
        connection = connect(host, port)
        connection.sendall(b"echo\nhere")
        assert connection.recv(4) == b"here"
        held.append(connection)
    return len(held)


def hold_all(host, port, count):
    """As many of these as there is room for."""
    try:
        hold(host, port, count)
    except ConnectionRefusedError:
        pass
    return len(held)


def fill(host, port, count):
    """Connections whose far end does not read, with as much in them as they take."""
    for _ in range(count):
        connection = connect(host, port)
        connection.sendall(b"deaf\n")
        assert connection.recv(2) == b"ok"
        connection.setblocking(False)
        held.append(connection)
    block, silent_since = bytes(1 << 16), time.monotonic()
    while time.monotonic() - silent_since < 1:
        for connection in held:
            try:
                connection.send(block)
                silent_since = time.monotonic()
            except BlockingIOError:
                pass
        time.sleep(0.01)
    return len(held)


def let_go():
    for connection in held:
        connection.close()
    held.clear()


def burst(host, port, count):
    """The same, all connecting at once."""
    right = []
    threads = [threading.Thread(target=lambda: right.append(echo(host, port, 2_000))) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(right)


def far_first(host, port):
    """The far end finishes first, and still gets what comes."""
    with connect(host, port) as connection:
        connection.sendall(b"first\n")
        greeting = take_all(connection)
        connection.sendall(pattern(0, 50_000))
        return greeting.decode()


def reset_by_far(host, port):
    with connect(host, port) as connection:
        connection.sendall(b"reset\n")
        return error_of(lambda: connection.recv(10))


def reset_by_us(host, port):
    with connect(host, port) as connection:
        connection.sendall(b"watch\n")
        assert connection.recv(2) == b"ok"
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def keep(host, port):
    """A connection that stays open; the answer to it is read later."""
    global kept
    kept = connect(host, port)
    kept.sendall(b"echo\nfirst")
    return kept.recv(5).decode()


def kept_read():
    return error_of(lambda: kept.sendall(b"again")) or error_of(lambda: kept.recv(5))


def kept_wait():
    """Reads without having sent anything."""
    return error_of(lambda: kept.recv(5))


def udp_echo(host, port, sizes):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(PATIENCE)
        one.connect((host, port))
        right = []
        for size in sizes:
            one.send(pattern(size, size))
            right.append(one.recv(1 << 16) == pattern(size, size))
        return right


def udp_refused(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(PATIENCE)
        one.connect((host, port))
        for _ in range(3):
            failed = error_of(lambda: one.send(b"x")) or error_of(lambda: one.recv(10))
            if failed:
                return failed
        return None


def query(name, kind):
    labels = b"".join(bytes([len(label)]) + label for label in name.encode().split(b"."))
    return struct.pack(">HHHHHH", 77, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def lookup(name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(PATIENCE)
        one.sendto(query(name, 1), ("192.0.0.1", 53))
        answer = one.recv(4_096)
    return socket.inet_ntoa(answer[-4:])


def lookup_by_system(name):
    """Through the system's resolver, which reads what is mounted over /etc/resolv.conf."""
    with open("/tmp/resolv.conf", "w", encoding="ascii") as file:
        file.write("nameserver 192.0.0.1\n")
    subprocess.run(["mount", "--bind", "/tmp/resolv.conf", "/etc/resolv.conf"], check=True)
    return sorted({found[4][0] for found in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)})


def lookup_by_tcp(name, count):
    with connect("192.0.0.1", 53) as connection:
        answers = []
        message = query(name, 1)
        connection.sendall((struct.pack(">H", len(message)) + message) * count)
        stream = connection.makefile("rb")
        for _ in range(count):
            (length,) = struct.unpack(">H", stream.read(2))
            answers.append(socket.inet_ntoa(stream.read(length)[-4:]))
        return answers


def tls(host, port, name):
    context = ssl.create_default_context()
    try:
        with connect(host, port) as connection, context.wrap_socket(connection, server_hostname=name):
            return None
    except OSError as error:
        return type(error).__name__


def has_curl():
    return shutil.which("curl") is not None


def curl(url):
    run = subprocess.run(["curl", "-sS", "-g", "--max-time", "30", url], capture_output=True, check=False)
    return run.stdout.decode() + run.stderr.decode()


def ping_pong(host, port, count):
    """Microseconds of round trips of 64 bytes, sorted."""
    with connect(host, port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"echo\n")
        took = []
        for _ in range(count):
            begun = time.perf_counter()
            connection.sendall(bytes(64))
            got = 0
            while got < 64:
                got += len(connection.recv(64))
            took.append((time.perf_counter() - begun) * 1e6)
        return sorted(took)


def connects(host, port, count):
    """Microseconds that connecting took, sorted."""
    took = []
    for _ in range(count):
        begun = time.perf_counter()
        connection = connect(host, port)
        took.append((time.perf_counter() - begun) * 1e6)
        connection.close()
    return sorted(took)


def upload_fast(host, port, size):
    """Without looking at the bytes."""
    block = bytes(1 << 20)
    with connect(host, port) as connection:
        connection.sendall(b"sink\n")
        for _ in range(size >> 20):
            connection.sendall(block)
        connection.shutdown(socket.SHUT_WR)
        take_all(connection)


def download_fast(host, port, size):
    block = bytearray(1 << 20)
    with connect(host, port) as connection:
        connection.sendall(b"flood %d\n" % size)
        while connection.recv_into(block):
            pass


def flood(kind, host, port, count):
    """Packets that no kernel would send by itself. Some are lost before the device; the number that was sent."""
    random.seed(kind)
    ends = socket.inet_aton("192.0.0.2") + socket.inet_aton(host)

    def packet(protocol, content, fragment=0):
        return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(content), 7, fragment, 64, protocol, 0) + ends + content

    def tcp(flags, sequence=1):
        return struct.pack(">HHIIBBHHH", random.randrange(1, 65_536), port, sequence, 0, 0x50, flags, 9_000, 0, 0)

    makers = {
        "syn": lambda: packet(6, tcp(2)),
        "stray": lambda: packet(6, tcp(random.randrange(256), random.randrange(1 << 32))),
        "fragments": lambda: packet(6, tcp(2), random.choice((0x2000, 5, 0x2005))),
        "udp": lambda: packet(17, struct.pack(">HHHH", random.randrange(1, 65_536), port, 58, 0) + bytes(50)),
        "noise": lambda: bytes([random.choice((0x45, 0x60))]) + random.randbytes(random.randrange(1, 200)),
    }
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as raw:
        sent = 0
        for _ in range(count):
            try:
                raw.sendto(makers[kind](), (NAME.decode(), 0x0800))
                sent += 1
            except OSError:
                pass
    return sent


def send_and_stay(host, port, size):
    """Has sent, and keeps the connection open."""
    connection = connect(host, port)
    connection.sendall(b"take\n" + pattern(0, size))
    held.append(connection)


def goodbye(host, port, size):
    """Sends, and is gone."""
    connection = connect(host, port)
    connection.sendall(b"take\n" + pattern(0, size))
    os._exit(0)


def main():
    outside = socket.socket(fileno=0)
    device = make_device()
    socket.send_fds(outside, [b"d"], [device])
    os.close(device)
    lines = outside.makefile("rb")
    for line in lines:
        name, *arguments = json.loads(line)
        try:
            answer = {"ok": globals()[name](*arguments)}
        except Exception:
            answer = {"failed": traceback.format_exc()}
        outside.sendall(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
