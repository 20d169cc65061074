"""What `git push` may leave on a server: how much, of what, and after which ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Client, Server, until

from product.functions import ADD
from product.test_git import ME, Repository
from product.test_hostile_pushes import helpers

KILOBYTE = 1 << 10
MEGABYTE = 1 << 20
SLOW = "import time\n\ntime.sleep(20)\n\n\ndef handler():\n    return 1\n"


@pytest.fixture
def small() -> Iterator[Server]:
    """A server whose repositories are small."""
    with Server(env={"FAAS_GIT_REPOSITORY_MAX": "2MB", "FAAS_GIT_PROJECT_MAX": "3MB"}) as server:
        yield server


def repository_of(server: Server, folder: Path, name: str) -> Repository:
    """A repository whose remote is a function of the server."""
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(ADD, "utf-8")
    env = {word: os.environ[word] for word in ("PATH", "LANG") if word in os.environ} | ME
    env |= {
        "HOME": str(folder.parent),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }
    repository = Repository(folder, env)
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.git("config", "http.extraHeader", f"Authorization: Bearer {server.key}")
    repository.git("remote", "add", "faas", f"http://127.0.0.1:{server.port}/git/{name}")
    repository.commit("first")
    return repository


@pytest.fixture
def repository(server: Server, tmp_path: Path, name: str) -> Repository:
    return repository_of(server, tmp_path / "own" / name, name)


def size_of(folder: Path) -> int:
    """Bytes of the files below a directory."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def bare(server: Server, name: str) -> Path:
    """Where the server keeps what was pushed to a function."""
    (found,) = server.data.glob(f"git/*/{name}.git")
    return found


def is_clean(server: Server, name: str) -> bool:
    """Whether nothing of an unfinished push is there."""
    scratch = server.data / "git" / "tmp"
    kept = bare(server, name)
    return not (
        (scratch.exists() and any(scratch.iterdir()))
        or list((kept / "objects").glob("tmp_objdir*"))
        or list(kept.rglob("*.lock"))
        or list(helpers(server))
    )


# === refs ===


def test_only_branches_and_tags_are_taken(server: Server, repository: Repository, name: str) -> None:
    repository.git("push", "faas", "main")
    for ref in ("refs/notes/x", "refs/changes/01/1", "refs/stash", "refs/x", "refs/remotes/a/b"):
        said = repository.git("push", "faas", f"HEAD:{ref}", code=1)
        assert "push to refs/heads/NAME or refs/tags/NAME" in said, said
    said = repository.git("push", "faas", f"HEAD:refs/tags/{'t' * 200}", code=1)
    assert "is longer than 200 bytes" in said, said
    blob = repository.git("hash-object", "-w", "main.py").strip()
    said = repository.git("push", "faas", f"{blob}:refs/tags/file", code=1)
    assert "does not lead to a commit" in said, said
    repository.git("push", "faas", "HEAD:refs/tags/v1")
    assert repository.git("ls-remote", "faas", code=128)
    assert sorted(refs_of(server, name)) == ["refs/heads/main", "refs/tags/v1"]
    assert server.api.function(name)["version"] == 1


def refs_of(server: Server, name: str) -> list[str]:
    words = ["git", "--git-dir", str(bare(server, name)), "for-each-ref", "--format=%(refname)"]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.split()


def test_the_number_of_refs_is_bounded(server: Server, repository: Repository, name: str) -> None:
    repository.git("push", "faas", "main")
    tags = "".join(f"create refs/tags/t{number} HEAD\n" for number in range(256))
    repository.git("update-ref", "--stdin", stdin=tags)
    said = repository.git("push", "faas", "--tags", code=1)
    assert "more than 256 branches and tags; delete some with `git push REMOTE --delete NAME`" in said
    repository.git("tag", "--delete", "t0")
    repository.git("push", "faas", "--tags")
    assert len(refs_of(server, name)) == 256
    said = repository.git("push", "faas", "HEAD:refs/heads/one-more", code=1)
    assert "more than 256 branches and tags" in said
    repository.git("push", "faas", "--delete", "t1", "t2")
    repository.git("push", "faas", "HEAD:refs/heads/one-more")


def test_branches_are_deleted_but_for_what_serves(server: Server, repository: Repository, name: str) -> None:
    repository.git("push", "faas", "main", "HEAD:refs/heads/other")
    said = repository.git("push", "faas", "--delete", "main", code=1)
    assert f"`faas functions delete {name}`" in said
    repository.git("push", "faas", "--delete", "other")
    assert refs_of(server, name) == ["refs/heads/main"]
    assert server.api.invoke(name, {"x": 2, "y": 5}).expect(200).json() == {"result": 7}


def test_what_is_refused_leaves_no_repository(server: Server, repository: Repository, name: str) -> None:
    assert repository.git("push", "faas", "HEAD:refs/tags/v1", code=1).count("push a branch first") == 1
    repository.commit("broken", main="import nowhere\n\n\ndef handler():\n    return 1\n")
    repository.git("push", "faas", "main", code=1)
    repository.git("push", "--dry-run", "faas", "main")
    until(lambda: not list(server.data.glob(f"git/*/{name}.git")), "no repository is left")
    repository.commit("mended", main=ADD)
    repository.git("push", "faas", "main")
    assert server.api.invoke(name, {"x": 2, "y": 5}).expect(200).json() == {"result": 7}


# === bytes ===


def test_a_repository_is_bounded(small: Server, tmp_path: Path) -> None:
    repository = repository_of(small, tmp_path / "bounded", "bounded")
    repository.git("push", "faas", "main")
    data = repository.path / "data.bin"
    data.write_bytes(os.urandom(3 * MEGABYTE))
    repository.commit("large")
    said = repository.git("push", "faas", "main", code=1)
    assert "the push brings 4 MB. this repository may take 2MB (git.repository_max of the server)" in said, said
    assert "git push REMOTE --delete BRANCH" in said
    assert small.api.function("bounded")["version"] == 1
    assert size_of(bare(small, "bounded")) < MEGABYTE
    data.write_bytes(os.urandom(100 * KILOBYTE))
    repository.commit("small again")
    assert "git.repository_max" in repository.git("push", "faas", "main", code=1), "its history is large"
    alone = repository.git("commit-tree", "-m", "deploy", "HEAD^{tree}").strip()
    repository.git("push", "--force", "faas", f"{alone}:refs/heads/main")
    assert small.api.function("bounded")["version"] == 2


def test_what_no_branch_leads_to_goes(small: Server, tmp_path: Path) -> None:
    """Rewritten again and again, and all of it together would not fit."""
    repository = repository_of(small, tmp_path / "rewritten", "rewritten")
    for number in range(8):
        (repository.path / "data.bin").write_bytes(os.urandom(600 * KILOBYTE))
        repository.git("add", "--all")
        repository.git("commit", "--quiet", "--amend", "-m", f"number {number}")
        repository.git("push", "--force", "faas", "main")
    assert size_of(bare(small, "rewritten")) < 2 * MEGABYTE
    # What branches lead to stays, until they are deleted.
    repository.git("checkout", "--quiet", "-b", "other")
    (repository.path / "more.bin").write_bytes(os.urandom(900 * KILOBYTE))
    repository.commit("more")
    repository.git("push", "faas", "other")
    (repository.path / "still.bin").write_bytes(os.urandom(700 * KILOBYTE))
    repository.commit("still more")
    assert "git.repository_max" in repository.git("push", "faas", "HEAD:third", code=1)
    repository.git("push", "faas", "--delete", "other")
    repository.git("checkout", "--quiet", "main")
    (repository.path / "still.bin").write_bytes(os.urandom(700 * KILOBYTE))
    repository.commit("in its place")
    repository.git("push", "faas", "HEAD:third")


def test_the_repositories_of_a_project_are_bounded_together(small: Server, tmp_path: Path) -> None:
    for number in range(2):
        repository = repository_of(small, tmp_path / f"one-{number}", f"one-{number}")
        (repository.path / "data.bin").write_bytes(os.urandom(1200 * KILOBYTE))
        repository.commit("data")
        repository.git("push", "faas", "main")
    repository = repository_of(small, tmp_path / "last", "last")
    (repository.path / "data.bin").write_bytes(os.urandom(1200 * KILOBYTE))
    repository.commit("data")
    said = repository.git("push", "faas", "main", code=1)
    assert "the repositories of this project may take 3MB (git.project_max of the server)" in said, said
    small.cli("fn", "delete", "one-0", "--yes").ok()
    repository.git("push", "faas", "main")


def test_many_pushes_do_not_leave_many_packs(server: Server, repository: Repository, name: str) -> None:
    for number in range(22):
        repository.commit(f"number {number}", main=f"def handler():\n    return {number}\n")
        repository.git("push", "faas", "main")
    packs = list(bare(server, name).glob("objects/pack/*.pack"))
    assert len(packs) <= 20, packs
    assert server.api.invoke(name).expect(200).json() == {"result": 21}
    # All that branches lead to is still there.
    words = ["git", "--git-dir", str(bare(server, name)), "fsck", "--connectivity-only"]
    subprocess.run(words, check=True, capture_output=True, timeout=60)


@pytest.mark.needs("root")
def test_a_full_disk_refuses_pushes(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(disk)], check=True)
    try:
        with Server(data=disk / "data") as server:
            repository = repository_of(server, tmp_path / "full", "full")
            repository.git("push", "faas", "main", "main:old")
            space = os.statvfs(disk)
            filler = disk / "filler"
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - 40 * MEGABYTE)
            repository.commit("more", main="def handler():\n    return 2\n")
            said = repository.git("push", "faas", "main", code=1)
            assert "remote: error[FN_018]: the disk of the data directory is full" in said, said
            assert server.api.function("full")["version"] == 1
            other = repository_of(server, tmp_path / "other", "other")
            said = other.git("push", "faas", "main", code=128)
            assert "error[FN_018]: the disk of the data directory is full" in said, said
            # What only deletes makes room.
            repository.git("push", "faas", "--delete", "old")
            assert not (bare(server, "full") / "refs" / "heads" / "old").exists()
            filler.unlink()
            repository.git("push", "faas", "main")
            assert server.api.function("full")["version"] == 3, "one was the preview"
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_push_that_is_too_large_is_refused_in_our_words(server: Server, repository: Repository, name: str) -> None:
    """No program packs so much in a test: the pack is made up, and git would refuse it only at its end."""
    line = f"{'0' * 40} {'1' * 40} refs/heads/main\0report-status side-band-64k".encode()
    head = f"{len(line) + 4:04x}".encode() + line + b"0000PACK\x00\x00\x00\x02\x00\x00\x00\x01"
    large = zlib.compressobj(0)
    # A blob whose length is beyond what comes.
    first = b"\xbf" + b"\xff" * 5 + b"\x0f" + large.compress(b"")
    block = bytes([0]) + (65_535).to_bytes(2, "little") + (0).to_bytes(2, "little") + os.urandom(65_535)
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as client:
        ask = f"POST /git/{name}/git-receive-pack HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {server.key}\r\n"
        ask += "Content-Type: application/x-git-receive-pack-request\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.sendall(ask.encode())
        for part in (head + first, *([block * 64] * 131)):
            client.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        client.sendall(b"0\r\n\r\n")
        answer = b""
        while b"refs/heads/main refused" not in answer:
            answer += client.recv(1 << 16) or pytest.fail(f"no reason was given: {answer!r}")
    assert b"200 OK" in answer and b"error[FN_011]: the push brings more than 512MB" in answer, answer
    until(lambda: not list(server.data.glob(f"git/*/{name}.git")), "nothing is left of it")


# === ends ===


def post(server: Server, name: str, body: bytes) -> int:
    """The status of a push by hand."""
    headers = {"content-type": "application/x-git-receive-pack-request"}
    return (
        Client(server.port, server.key).request("POST", f"/git/{name}/git-receive-pack", body, headers=headers).status
    )


def begin(repository: Repository) -> subprocess.Popen[bytes]:
    """A push whose deployment takes long."""
    repository.commit("slow", main=SLOW)
    words = ["git", "push", "--quiet", "faas", "main"]
    return subprocess.Popen(
        words, cwd=repository.path, env=repository.env, stderr=subprocess.DEVNULL, start_new_session=True
    )


def end(push: subprocess.Popen[bytes]) -> None:
    """Ends it with the helper that holds the connection."""
    os.killpg(push.pid, signal.SIGKILL)
    push.wait(10)


def test_a_function_takes_one_push_at_a_time(server: Server, repository: Repository, name: str) -> None:
    push = begin(repository)
    try:
        until(lambda: len(list(helpers(server))) >= 3, "the push is being deployed", within=60)
        assert post(server, name, b"0000") == 503
        assert post(server, f"{name}-other", b"0000") == 200
    finally:
        end(push)
    until(lambda: post(server, name, b"0000") == 200, "its turn ends with it", within=60)


def test_a_killed_server_leaves_nothing_of_a_push(tmp_path: Path) -> None:
    with Server() as server:
        repository = repository_of(server, tmp_path / "killed", "killed")
        repository.git("push", "faas", "main")
        push = begin(repository)
        try:
            kept = bare(server, "killed")
            apart = lambda: list((kept / "objects").glob("tmp_objdir*"))  # noqa: E731
            until(lambda: len(list(helpers(server))) >= 3 and apart(), "the push is being deployed", within=60)
            server.kill()
            # As a git that was killed leaves them; it never takes an old lock away.
            (kept / "refs" / "heads" / "main.lock").touch()
            (kept / "objects" / "pack" / "tmp_pack_x").touch()
            (kept / "objects" / "tmp_objdir-incoming-x" / "pack").mkdir(parents=True)
            scratch = server.data / "git" / "tmp" / "push-77"
            scratch.mkdir(parents=True)
            server.start()
            until(lambda: is_clean(server, "killed"), "nothing is left", within=30)
            assert not (kept / "objects" / "pack" / "tmp_pack_x").exists()
        finally:
            end(push)
        repository.commit("after", main="def handler():\n    return 2\n")
        repository.git("push", "--force", "faas", "main")
        assert server.api.invoke("killed").expect(200).json() == {"result": 2}
