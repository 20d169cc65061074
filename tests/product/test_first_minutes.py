"""The first minutes of somebody with a fresh home and a prebuilt binary, as README.md tells them."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from harness import Footprint, free_port, until

from product.developer import Dev, Developer

GREET = """\
def handler(name: str = "world"):
    print("somebody called", name)
    return f"hello, {name}"
"""


def test_from_nothing_to_the_first_answer(tmp_path: Path) -> None:
    port = free_port()
    user = Developer(tmp_path, FAAS_LISTEN=f"127.0.0.1:{port}", TEST_SERVER_MARK=str(tmp_path))
    began = time.monotonic()
    footprint = Footprint(str(tmp_path), tmp_path / "data")
    with (tmp_path / "log").open("wb") as log:
        words = [str(user.cli.binary), "up", "--data", str(tmp_path / "data")]
        server = subprocess.Popen(words, env=user.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until(lambda: user.cli("status").code == 0, "the profile leads to the server", within=60)
        (tmp_path / "greet.py").write_text(GREET, encoding="utf-8")
        user.cli("deploy", "greet.py", cwd=tmp_path).ok()
        assert user.cli("invoke", "greet", "-d", '{"name": "Ada"}').ok().json() == {"result": "hello, Ada"}
        print(f"first answer after {time.monotonic() - began:.1f} s")
        typo = user.cli("invoke", "greet", "-d", '{"nam": "Ada"}').exits(2).stderr
        assert "unexpected parameter `nam`; did you mean `name`?" in typo
        assert user.cli("fn", "url", "greet").ok().stdout.strip() == f"http://127.0.0.1:{port}/fn/greet"
        assert "greet" in user.cli("runs", "list").ok().stdout
        until(lambda: "somebody called Ada" in user.cli("logs", "greet").ok().stdout, "the log has the line")
    finally:
        footprint.look(server.pid)
        server.terminate()
        server.wait(40)
    assert not footprint.alive()


def test_from_nothing_to_the_first_answer_without_a_server(tmp_path: Path) -> None:
    user = Developer(tmp_path)
    began = time.monotonic()
    user.cli("init", "hello", cwd=tmp_path).ok()
    with Dev(user, tmp_path / "hello") as dev:
        assert dev.answer() == {"message": "hello, world"}
        print(f"first answer after {time.monotonic() - began:.1f} s")
