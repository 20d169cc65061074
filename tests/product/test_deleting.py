"""`faas functions delete`: one function or several, with one question."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

from harness import Server, until, write_function

from product.functions import ADD


def asked(server: Server, answer: str, *words: str) -> tuple[int, str]:
    """Runs a command at a terminal and answers its question. Its code, and what it says."""
    ours, theirs = pty.openpty()
    try:
        command = subprocess.Popen(
            [str(server.program), *words], stdin=theirs, stderr=theirs, stdout=subprocess.DEVNULL, env=server.cli.env
        )
        os.close(theirs)
        said = b""

        def asks() -> bool:
            nonlocal said
            said += os.read(ours, 4096)
            return b"[y/N]" in said

        until(asks, "it asks", within=30)
        os.write(ours, f"{answer}\n".encode())
        code = command.wait(30)
        return code, said.decode()
    finally:
        os.close(ours)


def test_several_go_with_one_question(server: Server, tmp_path: Path, name: str) -> None:
    names = [f"{name}-{letter}" for letter in "abc"]
    for one in names:
        server.deploy(write_function(tmp_path, one, ADD))
    a, b, c = names
    code, said = asked(server, "n", "fn", "delete", a, b)
    assert code == 1
    assert f"delete `{a}` with 1 version, `{b}` with 1 version? [y/N]" in " ".join(said.split())
    said = server.cli("fn", "delete", a, "no-such-function", b, "--yes").exits(4).stderr
    assert "no-such-function" in said
    refused = server.cli("fn", "delete", a, b).exits(2).stderr
    assert f"cannot ask whether to delete `{a}`, `{b}`" in refused
    for one in names:
        assert server.api.function(one)["version"] == 1, "nothing was deleted"
    assert asked(server, "y", "fn", "delete", a)[0] == 0
    assert server.cli("fn", "delete", b, c, b, "--yes", "-o", "json").ok().stdout == "", "the API answers with nothing"
    for one in names:
        assert server.http.get(f"/api/v1/functions/{one}").status == 404
