"""Deployments by `git push`: the real git on both sides."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import Client, Server, until, write_function
from harness.paths import binary

from product.functions import ADD

ME = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org"}
MULTIPLY = "def handler(x: int, y: int):\n    return x * y\n"


@dataclass
class Repository:
    """A repository of somebody with a profile of their own."""

    path: Path
    env: dict[str, str]

    def git(self, *words: str, code: int = 0, env: dict[str, str] | None = None, stdin: str = "") -> str:
        """What a git command says; it ends with `code`."""
        done = subprocess.run(
            ["git", *words],
            cwd=self.path,
            env=self.env | (env or {}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, f"git {' '.join(words)} ended with {done.returncode}\n{said}"
        return said

    def commit(self, note: str, **files: str) -> None:
        for name, text in files.items():
            (self.path / f"{name}.py").write_text(text, "utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", note)


@pytest.fixture
def repository(server: Server, tmp_path: Path, name: str) -> Repository:
    folder = write_function(tmp_path, name, ADD)
    home = tmp_path / "home"
    home.mkdir()
    env = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ} | ME
    env |= {
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
        "FAAS_ENDPOINT": f"http://127.0.0.1:{server.port}",
        "FAAS_API_KEY": server.key,
    }
    repository = Repository(folder, env)
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.commit("add")
    subprocess.run([str(binary()), "git", "remote"], cwd=folder, env=env, check=True, capture_output=True)
    return repository


def test_a_push_deploys_and_a_branch_previews(server: Server, repository: Repository, name: str) -> None:
    said = repository.git("push", "faas", "main")
    assert f"remote: {name}: 2 files, " in said
    assert server.api.invoke(name, {"x": 2, "y": 5}).expect(200).json() == {"result": 7}
    versions = server.cli("fn", "versions", name, "-o", "json").ok().json()["items"]
    assert [version["note"].split(" ", 1)[1] for version in versions] == ["add"]

    repository.git("checkout", "--quiet", "-b", "Feature/times")
    repository.commit("multiply", main=MULTIPLY)
    said = repository.git("push", "faas", "Feature/times")
    assert f"{name}:feature-times" in said
    assert server.api.invoke(name, {"x": 2, "y": 5}).expect(200).json() == {"result": 7}
    assert server.api.invoke(f"{name}:feature-times", {"x": 2, "y": 5}).expect(200).json() == {"result": 10}

    repository.git("push", "faas", "Feature/times:main")
    assert server.api.invoke(name, {"x": 2, "y": 5}).expect(200).json() == {"result": 10}
    assert "Everything up-to-date" in repository.git("push", "faas", "Feature/times:main")


def test_what_was_pushed_goes_with_the_function(server: Server, repository: Repository, name: str) -> None:
    repository.git("push", "faas", "main")
    kept = list(server.data.glob(f"git/*/{name}.git"))
    assert len(kept) == 1
    server.cli("fn", "delete", name, "--yes").ok()
    assert not kept[0].exists()
    assert not list((server.data / "git" / "tmp").glob("gone-*"))
    repository.git("push", "faas", "main")
    assert server.api.function(name)["version"] == 1


def test_a_push_that_does_not_load_is_refused_and_can_be_mended(
    server: Server, repository: Repository, name: str
) -> None:
    repository.git("push", "faas", "main")
    repository.commit("break", main="import nowhere\n\n\ndef handler():\n    return 1\n")
    said = repository.git("push", "faas", "main", code=1)
    assert "error[FN_005]" in said
    assert "No module named 'nowhere'" in said
    assert "pre-receive hook declined" in said
    assert server.api.invoke(name, {"x": 2, "y": 5}).expect(200).json() == {"result": 7}
    repository.commit("mend", main=MULTIPLY)
    repository.git("push", "faas", "main")
    assert server.api.invoke(name, {"x": 2, "y": 5}).expect(200).json() == {"result": 10}


def test_keys_are_asked_for_and_never_kept(server: Server, repository: Repository) -> None:
    config = (repository.path / ".git" / "config").read_text("utf-8")
    assert server.key not in config
    nobody = {"FAAS_API_KEY": ""}
    said = repository.git("push", "faas", "main", code=128, env=nobody)
    assert "could not read Username" in said or "Authentication failed" in said
    weak = server.api.create_key("reader", ["functions:read"])["key"]
    said = repository.git("push", "faas", "main", code=128, env={"FAAS_API_KEY": weak})
    assert "error[FN_009]" in said
    assert "takes pushes" in repository.git("fetch", "faas", code=128)


def test_what_no_git_sends_is_refused(server: Server, name: str) -> None:
    client = server.http
    path = f"/git/{name}"
    assert Client(server.port).get(f"{path}/info/refs?service=git-receive-pack").status == 401
    assert client.get(f"{path}/info/refs").status == 403
    assert client.get("/git/..%2f..%2fetc/info/refs?service=git-receive-pack").status == 400
    assert client.post(f"{path}/git-receive-pack", {}).status == 415
    push = {"content-type": "application/x-git-receive-pack-request"}
    for body in (b"", b"\x00" * 1000, b"00a0" + b"f" * 200, b"ffff"):
        reply = client.request("POST", f"{path}/git-receive-pack", body, headers=push)
        assert reply.status == 400 and b"FN_012" in reply.body, reply.body
    # git asks so whether a large push is let in.
    assert client.request("POST", f"{path}/git-receive-pack", b"0000", headers=push).status == 200
    assert server.http.get(f"/api/v1/functions/{name}").status == 404


def test_hostile_commits_are_refused(server: Server, repository: Repository, name: str) -> None:
    (repository.path / "link.py").symlink_to("/etc/passwd")
    repository.commit("link")
    said = repository.git("push", "faas", "main", code=1)
    assert "link.py" in said
    (repository.path / "link.py").unlink()
    blob = repository.git("hash-object", "-w", "main.py").strip()
    tree = "".join(f"100644 blob {blob}\tfile{index}.py\n" for index in range(20_001))
    many = repository.git("commit-tree", "-m", "many", repository.git("mktree", stdin=tree).strip()).strip()
    said = repository.git("push", "--force", "faas", f"{many}:refs/heads/main", code=1)
    assert "more than 20000 files" in said
    assert server.http.get(f"/api/v1/functions/{name}").status == 404
    scratch = server.data / "git" / "tmp"
    until(lambda: not any(scratch.iterdir()), "nothing is left of the pushes")


def test_a_push_that_breaks_off_leaves_nothing_running(server: Server, repository: Repository, name: str) -> None:
    repository.commit("slow", main="import time\n\ntime.sleep(25)\n\n\ndef handler():\n    return 1\n")
    words = ["git", "push", "--quiet", "faas", "main"]
    push = subprocess.Popen(words, cwd=repository.path, env=repository.env, start_new_session=True)
    scratch = server.data / "git" / "tmp"
    until(lambda: scratch.is_dir() and any(scratch.iterdir()), "the push is being deployed")
    # With the helper that holds the connection.
    os.killpg(push.pid, signal.SIGKILL)
    push.wait(10)
    until(lambda: not processes_below(server), "the processes of the push end", within=15)
    until(lambda: not any(scratch.iterdir()), "nothing is left of the push")
    repository.commit("quick", main=ADD)
    repository.git("push", "--force", "faas", "main")
    assert server.api.invoke(name, {"x": 2, "y": 5}).expect(200).json() == {"result": 7}


def processes_below(server: Server) -> list[str]:
    """Processes that a push started: they have a scratch directory in their environment."""
    mark = f"TMPDIR={server.data}/git/tmp".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(word.startswith(mark) for word in (process / "environ").read_bytes().split(b"\0")):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found
