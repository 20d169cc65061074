"""Pushes of strangers: a key that may deploy, and trees that try to reach more than that."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import struct
import subprocess
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Client, Server, until

from product.functions import ADD
from product.test_git import ME, Repository

MEGABYTE = 1 << 20


@pytest.fixture
def stranger(server: Server, tmp_path: Path, name: str) -> Repository:
    """A repository of somebody whose key may deploy and nothing else."""
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "main.py").write_text(ADD, "utf-8")
    home = tmp_path / "home"
    home.mkdir()
    key = server.api.create_key(f"narrow-{name}", ["functions:write"])["key"]
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


def test_what_a_push_runs_cannot_read_the_hosts_files(server: Server, stranger: Repository, name: str) -> None:
    """The rules hold for the processes themselves, whatever a tree makes of them."""
    stranger.commit("slow", main="import time\n\ntime.sleep(20)\n\n\ndef handler():\n    return 1\n")
    words = ["git", "push", "--quiet", "faas", "main"]
    push = subprocess.Popen(
        words, cwd=stranger.path, env=stranger.env, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        until(lambda: len(list(helpers(server))) >= 3, "git, the hook and the deployment run")
        for process in helpers(server):
            status = (process / "status").read_text()
            assert "NoNewPrivs:\t1" in status
            assert "CapEff:\t0000000000000000" in status
            limits = (process / "limits").read_text()
            assert re.search(r"Max data size +536870912 +536870912 ", limits), limits
            assert re.search(r"Max cpu time +120 +120 ", limits), limits
    finally:
        # With the helper that holds the connection.
        os.killpg(push.pid, signal.SIGKILL)
        push.wait(10)
        until(lambda: not list(helpers(server)), "the processes of the push end", within=20)


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
