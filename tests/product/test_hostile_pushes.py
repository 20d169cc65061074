"""Pushes of strangers: a key that may deploy, and trees that try to reach more than that."""

from __future__ import annotations

import hashlib
import io
import os
import re
import signal
import struct
import subprocess
import sys
import tarfile
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Client, Server, until

from product.functions import ADD
from product.test_git import ME, Repository

MEGABYTE = 1 << 20


@pytest.fixture
def stranger(server: Server, tmp_path: Path, name: str) -> Repository:
    """A repository of somebody whose key may deploy and nothing else."""
    return stranger_of(server, tmp_path, name)


def stranger_of(server: Server, tmp_path: Path, name: str) -> Repository:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "main.py").write_text(ADD, "utf-8")
    home = tmp_path / "home"
    home.mkdir()
    key = server.api.create_key(f"narrow-{name}", ["deploy"])["key"]
    env = {word: os.environ[word] for word in ("PATH", "LANG") if word in os.environ} | ME
    env |= {
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
        "FAAS_API_KEY": key,
    }
    repository = Repository(folder, env)
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.git("config", "http.extraHeader", f"Authorization: Bearer {key}")
    repository.git("remote", "add", "faas", f"http://127.0.0.1:{server.port}/git/{name}")
    return repository


def refused(server: Server, stranger: Repository, name: str, code: int = 1) -> str:
    """What a push says that is refused: nothing of the host is in it, and nothing was deployed."""
    stranger.commit("hostile")
    said = stranger.git("push", "--force", "faas", "main", code=code)
    assert server.key not in said
    assert server.key[:20] not in said
    assert str(server.data) not in said, said
    assert server.http.get(f"/api/v1/functions/{name}").status == 404
    return said


MANIFESTS = ["faas.toml", "platform.yaml", "function.config.json", "function.config.ts", "function.config.js"]


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_manifest_that_is_a_link(server: Server, stranger: Repository, name: str, manifest: str) -> None:
    for target in ("../../../../admin.key", str(server.data / "admin.key"), "/proc/self/environ", "/etc/hostname"):
        link = stranger.path / manifest
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        said = refused(server, stranger, name)
        assert f"{manifest} is a symbolic link" in said


@pytest.mark.parametrize("target", ["/etc", "../../../..", "real"])
def test_a_linked_directory_of_functions(server: Server, stranger: Repository, name: str, target: str) -> None:
    (stranger.path / "faas.toml").write_text('name = "x"\npath = "linked"\n', "utf-8")
    (stranger.path / "real").mkdir()
    (stranger.path / "real" / "main.py").write_text("def handler():\n    return 1\n", "utf-8")
    (stranger.path / "linked").symlink_to(target)
    assert "linked is a symbolic link" in refused(server, stranger, name)


@pytest.mark.parametrize("path", [".faasignore", "requirements.txt", "main.py", "deep/er/data.json", ".env"])
def test_any_other_link(server: Server, stranger: Repository, name: str, path: str) -> None:
    link = stranger.path / path
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(server.data / "admin.key")
    assert f"{path} is a symbolic link" in refused(server, stranger, name)


def test_a_submodule(server: Server, stranger: Repository, name: str) -> None:
    stranger.commit("first")
    commit = stranger.git("rev-parse", "HEAD").strip()
    stranger.git("update-index", "--add", "--cacheinfo", f"160000,{commit},other")
    stranger.git("commit", "--quiet", "-m", "a submodule")
    said = stranger.git("push", "faas", "main", code=1)
    assert "other is a submodule" in said
    assert server.http.get(f"/api/v1/functions/{name}").status == 404


def test_attributes_run_nothing_and_change_nothing(server: Server, stranger: Repository, name: str) -> None:
    """Filters, encodings and substitutions of a commit: the files come out as they were committed."""
    (stranger.path / ".gitattributes").write_text(
        "* filter=lfs diff=lfs merge=lfs\n*.py ident eol=crlf working-tree-encoding=UTF-16 export-subst filter=evil\n",
        "utf-8",
    )
    (stranger.path / ".lfsconfig").write_text("[lfs]\n\turl = http://127.0.0.1:1/\n", "utf-8")
    (stranger.path / "faas.toml").write_text(f'name = "{name}"\n', "utf-8")
    text = "# $Id$ $Format:%H$\ndef handler():\n    return open(__file__, 'rb').read().decode()\n"
    (stranger.path / "main.py").write_text(text, "utf-8")
    (stranger.path / ".git" / "info" / "attributes").write_text("* !text !eol !ident !filter !working-tree-encoding\n")
    stranger.commit("attributes")
    stranger.git("push", "faas", "main")
    assert server.api.invoke(name).expect(200).json() == {"result": text}


def test_macros_of_attributes_do_nothing_either(server: Server, stranger: Repository, name: str) -> None:
    (stranger.path / ".gitattributes").write_text(
        "[attr]evil filter=lfs ident working-tree-encoding=UTF-16 export-subst eol=crlf\n* evil\n*.py evil text=auto\n",
        "utf-8",
    )
    (stranger.path / "faas.toml").write_text(f'name = "{name}"\n', "utf-8")
    text = "# $Id$ $Format:%H$\ndef handler():\n    return open(__file__, 'rb').read().decode()\n"
    (stranger.path / "main.py").write_text(text, "utf-8")
    (stranger.path / ".git" / "info" / "attributes").write_text("* !text !eol !ident !filter !working-tree-encoding\n")
    stranger.commit("macros")
    stranger.git("push", "faas", "main")
    assert server.api.invoke(name).expect(200).json() == {"result": text}


@pytest.mark.parametrize("path", [".git", ".GIT", "git~1", ".gi\u200ct", "..", ".", "a/b"])
def test_trees_that_git_would_not_write(server: Server, stranger: Repository, name: str, path: str) -> None:
    """Settings of a repository inside a tree, and names that lead out of it."""
    stranger.commit("first")
    config = stranger.git("hash-object", "-w", "--stdin", stdin="[core]\n\tfsmonitor = touch /tmp/x\n").strip()
    inner = write_tree(stranger, [(b"100644", b"config", config)])
    main = stranger.git("rev-parse", "HEAD:main.py").strip()
    tree = write_tree(stranger, [(b"40000", path.encode(), inner), (b"100644", b"main.py", main)])
    commit = stranger.git("commit-tree", "-m", "hostile", tree).strip()
    said = stranger.git("push", "faas", f"{commit}:refs/heads/main", code=1)
    assert "unpacker error" in said or "unable to" in said, said
    assert server.http.get(f"/api/v1/functions/{name}").status == 404


def write_tree(repository: Repository, entries: list[tuple[bytes, bytes, str]]) -> str:
    """An object of a tree as it is given."""
    body = b"".join(mode + b" " + name + b"\0" + bytes.fromhex(digest) for mode, name, digest in entries)
    words = ["git", "hash-object", "-w", "-t", "tree", "--literally", "--stdin"]
    done = subprocess.run(
        words, cwd=repository.path, env=repository.env, input=body, capture_output=True, check=True, timeout=60
    )
    return done.stdout.decode().strip()


def test_urls_of_submodules_are_not_followed(server: Server, stranger: Repository, tmp_path: Path, name: str) -> None:
    """Without a submodule the file is one like others; nothing of it runs."""
    proof = tmp_path / "proof"
    (stranger.path / ".gitmodules").write_text(
        f'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c touch% {proof}\n\tupdate = !touch {proof}\n', "utf-8"
    )
    stranger.commit("modules")
    stranger.git("push", "faas", "main", code=1)
    (stranger.path / ".gitmodules").write_text(
        f'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c touch% {proof}\n', "utf-8"
    )
    stranger.git("add", "--all")
    stranger.git("commit", "--quiet", "--amend", "-m", "modules")
    stranger.git("push", "faas", "main")
    assert server.api.invoke(name, {"x": 2, "y": 5}).expect(200).json() == {"result": 7}
    assert not proof.exists()


@pytest.mark.parametrize(
    ("branch", "preview"),
    [
        ("--upload-pack=touch", "upload-pack-touch"),
        ("$(touch${IFS}proof)", "touch--ifs-proof"),
        ("x;touch${IFS}proof", "x-touch--ifs-proof"),
        ("`touch${IFS}proof`", "touch--ifs-proof"),
        ("'|touch${IFS}proof|'", "touch--ifs-proof"),
    ],
)
def test_names_of_branches_are_text(server: Server, stranger: Repository, name: str, branch: str, preview: str) -> None:
    stranger.commit("first")
    said = stranger.git("push", "faas", f"HEAD:refs/heads/{branch}")
    assert f"{name}:{preview}" in said, said
    assert not list(server.data.rglob("proof"))


def test_nothing_but_pushes_is_served(server: Server, stranger: Repository, name: str) -> None:
    stranger.commit("first")
    stranger.git("push", "faas", "main")
    client = Client(server.port, server.key)
    for path in (
        "HEAD",
        "config",
        "info/refs",
        "objects/info/packs",
        "objects/info/alternates",
        "info/refs?service=git-upload-pack",
    ):
        assert client.get(f"/git/{name}/{path}").status in (403, 404, 405), path
    for function in ("..%2f..%2fadmin.key", "%2e%2e", "--upload-pack=x"):
        assert client.get(f"/git/{function}/info/refs?service=git-receive-pack").status == 400, function


def test_settings_in_an_archive_run_nothing(server: Server, tmp_path: Path, name: str) -> None:
    """A repository that comes along: its settings name programs."""
    proof = tmp_path / "proof"
    config = f"[core]\n\tfsmonitor = touch {proof}\n\tsshCommand = touch {proof}\n\tpager = touch {proof}\n"
    config += (
        f'[alias]\n\tstatus = !touch {proof}\n[filter "evil"]\n\tclean = touch {proof}\n\tsmudge = touch {proof}\n'
    )
    files = {
        ".git/HEAD": "ref: refs/heads/main\n",
        ".git/config": config,
        ".git/hooks/post-checkout": f"#!/bin/sh\ntouch {proof}\n",
        ".git/objects/info/alternates": "/proc/self/root\n",
        ".gitattributes": "* filter=evil\n",
        "faas.toml": f'name = "{name}"\n',
        "main.py": ADD,
    }
    archive = tmp_path / "x.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text.encode()), 0o755
            packed.addfile(entry, io.BytesIO(text.encode()))
    server.cli("deploy", archive).ok()
    assert server.api.invoke(name, {"x": 2, "y": 5}).expect(200).json() == {"result": 7}
    assert not proof.exists()


# === a kernel without Landlock ===

# Makes landlock_create_ruleset (444) fail with ENOSYS in this process and in what it starts, as before Linux 5.13.
WITHOUT_LANDLOCK = """
import ctypes, os, struct, sys
filter = b"".join(struct.pack("HBBI", *one) for one in [
    (0x20, 0, 0, 0),
    (0x15, 0, 1, 444),
    (0x06, 0, 0, 0x00050000 | 38),
    (0x06, 0, 0, 0x7FFF0000),
])
program = ctypes.create_string_buffer(filter, len(filter))
class Fprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
if os.geteuid() != 0:
    assert libc.prctl(38, 1, 0, 0, 0) == 0
fprog = Fprog(4, ctypes.addressof(program))
assert libc.prctl(22, 2, ctypes.byref(fprog), 0, 0) == 0, os.strerror(ctypes.get_errno())
assert libc.syscall(444, 0, 0, 1) == -1 and ctypes.get_errno() == 38
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def without_landlock() -> Iterator[Server]:
    server = Server()
    server.prefix = [sys.executable, "-c", WITHOUT_LANDLOCK]
    with server:
        yield server


def test_doctor_tells_of_landlock(server: Server, without_landlock: Server) -> None:
    def probe(of: Server, code: int) -> dict[str, Any]:
        report = of.cli("doctor", "-o", "json").exits(code).json()
        return next(probe for probe in report["probes"] if probe["feature"] == "landlock")

    code = server.cli("doctor").code
    missing = probe(without_landlock, code)
    assert missing["enforced"] is False
    assert "lsm=" in missing["fix"]
    assert "landlock_create_ruleset" in missing["fix"]
    assert "Landlock" in without_landlock.log()
    if os.path.exists("/sys/kernel/security/lsm") and "landlock" not in Path("/sys/kernel/security/lsm").read_text():
        return
    found = probe(server, code)
    assert found["enforced"] is True
    assert "files" in found["detail"]
    assert "Landlock" not in server.log()


def test_without_landlock_the_rest_still_holds(without_landlock: Server, tmp_path: Path) -> None:
    server, name = without_landlock, "weak"
    stranger = stranger_of(server, tmp_path, name)
    stranger.commit("first")
    stranger.git("push", "faas", "main")
    assert server.api.invoke(name, {"x": 2, "y": 5}).expect(200).json() == {"result": 7}
    # Links and settings of a tree are refused by name, not by the kernel.
    link = stranger.path / "function.config.json"
    link.symlink_to(server.data / "admin.key")
    stranger.commit("link")
    said = stranger.git("push", "faas", "main", code=1)
    assert "function.config.json is a symbolic link" in said
    assert server.key[:20] not in said
    link.unlink()
    stranger.commit("slow", main="import time\n\ntime.sleep(20)\n\n\ndef handler():\n    return 1\n")
    words = ["git", "push", "--quiet", "faas", "main"]
    push = subprocess.Popen(
        words, cwd=stranger.path, env=stranger.env, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        until(lambda: len(list(helpers(server))) >= 3, "git, the hook and the deployment run", within=60)
        for process in helpers(server):
            assert_confined(process)
            environment = (process / "environ").read_bytes()
            assert server.key.encode() not in environment
    finally:
        os.killpg(push.pid, signal.SIGKILL)
        push.wait(10)
        until(lambda: not list(helpers(server)), "the processes of the push end", within=20)


# === processes ===


def test_what_a_push_runs_cannot_read_the_hosts_files(server: Server, stranger: Repository, name: str) -> None:
    """The rules hold for the processes themselves, whatever a tree makes of them."""
    stranger.commit("slow", main="import time\n\ntime.sleep(20)\n\n\ndef handler():\n    return 1\n")
    words = ["git", "push", "--quiet", "faas", "main"]
    push = subprocess.Popen(
        words, cwd=stranger.path, env=stranger.env, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        until(lambda: len(list(helpers(server))) >= 3, "git, the hook and the deployment run", within=60)
        for process in helpers(server):
            assert_confined(process)
    finally:
        # With the helper that holds the connection.
        os.killpg(push.pid, signal.SIGKILL)
        push.wait(10)
        until(lambda: not list(helpers(server)), "the processes of the push end", within=20)


def assert_confined(process: Path) -> None:
    """What holds on every kernel."""
    status = (process / "status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    limits = (process / "limits").read_text()
    assert re.search(r"Max data size +536870912 +536870912 ", limits), limits
    assert re.search(r"Max cpu time +120 +120 ", limits), limits


def test_a_helper_reaches_what_its_rules_name(server: Server, tmp_path: Path) -> None:
    """As the server starts git, with a shell in its place."""
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    (other / "secret").write_text("secret", "utf-8")
    (own / "way-out").symlink_to(other)
    words = [str(server.program), "__helper", "--write", str(own), "--connect", str(server.port), "--", "sh", "-c"]
    key = server.data / "admin.key"

    def run(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*words, script], cwd=own, capture_output=True, text=True, timeout=60, check=False)

    assert run("echo kept > file && cat file").stdout == "kept\n"
    for script in (
        f"cat {key}",
        f"cat {other}/secret",
        "cat way-out/secret",
        f"echo x > {other}/new",
        "cat /etc/shadow",
        f"cat /proc/{server.pid}/environ",
        f"kill -0 {server.pid}",
        f"ls {server.data}",
    ):
        done = run(script)
        assert done.returncode != 0, script
        assert not done.stdout, script
    assert not (other / "new").exists()
    assert run("head -c 600m /dev/zero | tail -c 599m | wc -c").stdout.strip() != str(599 * MEGABYTE)
    missing = subprocess.run([*words[:-2], "no-such-program"], capture_output=True, timeout=60, check=False)
    assert missing.returncode == 127


def helpers(server: Server) -> Iterator[Path]:
    """Processes that work on a push: they have the scratch directory in their environment."""
    mark = f"TMPDIR={server.data}/git/tmp".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(word.startswith(mark) for word in (process / "environ").read_bytes().split(b"\0")):
                yield process
        except OSError:
            continue


# === packs that unfold ===


def test_a_small_pack_takes_no_gigabytes(server: Server, name: str, stranger: Repository) -> None:
    """A file of 16 MB and a delta that repeats it 128 times: 16 KB on the wire, 2 GB when they are put together."""
    base = bytes(16 * MEGABYTE)
    instructions = b"".join(b"\xf0" + (0xFFFFFF).to_bytes(3, "little") for _ in range(128))
    result = 128 * 0xFFFFFF
    delta = number(len(base)) + number(result) + instructions
    digest = hashlib.sha1(b"blob %d\0" % len(base) + base).digest()
    objects = [entry(3, base), entry(7, delta, digest)]
    pack = b"PACK" + struct.pack(">II", 2, len(objects)) + b"".join(objects)
    pack += hashlib.sha1(pack).digest()
    assert len(pack) < 40_000
    command = f"{'0' * 40} {'1' * 40} refs/heads/main\0report-status".encode()
    body = f"{len(command) + 4:04x}".encode() + command + b"0000" + pack

    peak = 0
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.01):
            for process in helpers(server):
                try:
                    found = re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())
                except OSError:
                    continue
                peak = max(peak, int(found[1]) * 1024 if found else 0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        headers = {
            "authorization": f"Bearer {stranger.env['FAAS_API_KEY']}",
            "content-type": "application/x-git-receive-pack-request",
        }
        path = f"/git/{name}/git-receive-pack"
        reply = Client(server.port).request("POST", path, body, headers=headers, timeout=120)
    finally:
        ended.set()
        watcher.join(10)
    assert reply.status == 200
    assert b"unpack ok" not in reply.body
    assert 0 < peak < 600 * MEGABYTE, f"{peak / MEGABYTE:.0f} MB"
    assert server.http.get(f"/api/v1/functions/{name}").status == 404


def number(value: int) -> bytes:
    """As deltas write sizes."""
    digits = bytearray()
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def entry(kind: int, content: bytes, base: bytes = b"") -> bytes:
    """An object of a pack; one of kind 7 is a delta against `base`."""
    size = len(content)
    head = kind << 4 | size & 0x0F
    size >>= 4
    digits = bytearray()
    while size:
        digits.append(head | 0x80)
        head, size = size & 0x7F, size >> 7
    return bytes([*digits, head]) + base + zlib.compress(content, 9)
