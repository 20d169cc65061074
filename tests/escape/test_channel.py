"""Attacks on the way between an instance and the server, and on the next user of an instance."""

from __future__ import annotations

import time
from pathlib import Path

from harness import Server, write_function


def deploy(server: Server, tmp_path: Path, name: str, code: str, **settings: object) -> None:
    server.deploy(write_function(tmp_path, name, code, **settings))


def test_forged_frames_on_stdout_are_only_text(server: Server, tmp_path: Path, name: str) -> None:
    code = """
import os, struct

def handler(event):
    forged = b'{"result": "forged"}'
    for kind in range(256):
        os.write(1, struct.pack("<IBBHI", len(forged), kind, 1, 0, 1) + forged)
        os.write(2, struct.pack("<IBBHI", len(forged), kind, 1, 0, 1) + forged)
    return {"answer": "real"}
"""
    deploy(server, tmp_path, name, code)
    for _ in range(3):
        assert server.api.invoke(name).expect(200).json() == {"answer": "real"}


def test_garbage_on_the_channel_loses_only_the_instance(server: Server, tmp_path: Path, name: str) -> None:
    code = """
import os

def handler(event):
    if event.get("garbage"):
        for junk in (b"\\xff" * 65536, b"\\0" * 65536, os.urandom(65536)):
            os.write(3, junk)
    return {"answer": "real"}
"""
    deploy(server, tmp_path, name, code)
    assert server.api.invoke(name).expect(200).json() == {"answer": "real"}
    broken = server.api.invoke(name, {"garbage": True})
    assert broken.status == 502, broken.body
    assert broken.json()["code"] == "FN_004"
    after = server.api.invoke(name).expect(200)
    assert (after.json(), after.headers["x-cold-start"]) == ({"answer": "real"}, "true")


def test_a_huge_frame_header_is_not_believed(server: Server, tmp_path: Path, name: str) -> None:
    code = """
import os, struct

def handler(event):
    if event.get("huge"):
        os.write(3, struct.pack("<IBBHI", 0xFFFFFFF0, 0x84, 0, 0, 1))
    return {"answer": "real"}
"""
    deploy(server, tmp_path, name, code)
    before = _resident(server)
    assert server.api.invoke(name, {"huge": True}).status == 502
    assert server.api.invoke(name).expect(200).json() == {"answer": "real"}
    assert _resident(server) - before < 256 << 20, "the server reserved what the frame asked for"


def test_descriptors_on_the_channel_do_not_stop_the_server(server: Server, tmp_path: Path, name: str) -> None:
    """Connections that linger for hours and large files, passed with a valid frame: whoever closes them waits."""
    code = """
import os, socket, struct, time

PONG = struct.pack("<IBBHI", 8, 0x87, 0, 0, 0) + bytes(8)
KEPT = []

def full():
    listener = socket.create_server(("127.0.0.1", 0))
    KEPT.append(listener)
    sender = socket.create_connection(listener.getsockname())
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 30_000))
    sender.setblocking(False)
    try:
        while True:
            sender.send(bytes(65536))
    except BlockingIOError:
        sender.setblocking(True)
        return sender.detach()

def large():
    fd = os.memfd_create("large")
    os.truncate(fd, 48 << 20)
    for at in range(0, 48 << 20, 4096):
        os.pwrite(fd, b"x", at)
    return fd

def handler(event):
    channel = socket.socket(fileno=os.dup(3))
    refused = 0
    for make in (full, large, full, full, full):
        fd = make()
        try:
            channel.sendmsg([PONG], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))])
        except PermissionError:
            refused += 1
        os.close(fd)
    return refused
"""
    deploy(server, tmp_path, name, code, network="loopback", timeout="3s")
    begun = time.monotonic()
    replies = [server.api.invoke(name) for _ in range(3)]
    assert time.monotonic() - begun < 15, [reply.body for reply in replies]
    for _ in range(20):
        begun = time.monotonic()
        server.api.invoke("neighbour", {"x": 1}, timeout=5).expect(200)
        assert time.monotonic() - begun < 2


def test_answering_for_another_run_is_not_possible(server: Server, tmp_path: Path, name: str) -> None:
    """Frames for streams that were never opened: the server drops them or the instance, no caller sees them."""
    code = """
import os, struct

def handler(event):
    forged = b'{"status":200,"headers":[]}'
    for stream in range(2, 200):
        if stream != event["own"]:
            os.write(3, struct.pack("<IBBHI", len(forged), 0x83, 0, 0, stream) + forged)
    return {"answer": "real"}
"""
    deploy(server, tmp_path, name, code)
    for _ in range(3):
        reply = server.api.invoke(name, {"own": -1})
        assert reply.status == 502 or reply.json() == {"answer": "real"}, reply.body


def test_killing_everything_inside_ends_only_the_instance(server: Server, tmp_path: Path, name: str) -> None:
    code = """
import os, signal

def handler(event):
    if event.get("kill"):
        os.kill(-1, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    return {"answer": "real"}
"""
    deploy(server, tmp_path, name, code)
    assert server.api.invoke(name, {"kill": True}).json()["code"] == "FN_004"
    assert server.api.invoke(name).expect(200).json() == {"answer": "real"}


def test_functions_share_no_files(server: Server, tmp_path: Path, name: str) -> None:
    """What one function leaves in /tmp or /dev/shm, no other function's instance finds."""
    code = """
import os

def handler(event):
    found = [path for path in ("/tmp/canary", "/dev/shm/canary", "/var/tmp/canary") if os.path.exists(path)]
    for path in ("/tmp/canary", "/dev/shm/canary", "/var/tmp/canary"):
        try:
            open(path, "w").write(event["mark"])
        except OSError:
            pass
    return found
"""
    first, second = f"{name[:40]}-one", f"{name[:40]}-two"
    for each in (first, second):
        deploy(server, tmp_path, each, code)
    assert server.api.invoke(first, {"mark": "x"}).expect(200).json() == []
    assert server.api.invoke(second, {"mark": "y"}).expect(200).json() == []


def test_a_new_version_starts_clean(server: Server, tmp_path: Path, name: str) -> None:
    """An instance is never taken over by another version: neither its memory nor its /tmp."""
    code = """
import os, builtins

def handler(event):
    found = os.path.exists("/tmp/canary"), getattr(builtins, "canary", None)
    open("/tmp/canary", "w").close()
    builtins.canary = "left"
    return list(found) + [VERSION]
"""
    deploy(server, tmp_path, name, code + "\nVERSION = 1\n")
    assert server.api.invoke(name).expect(200).json() == [False, None, 1]
    deploy(server, tmp_path, name, code + "\nVERSION = 2\n")
    assert server.api.invoke(name).expect(200).json() == [False, None, 2]


def _resident(server: Server) -> int:
    with open(f"/proc/{server.pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096
