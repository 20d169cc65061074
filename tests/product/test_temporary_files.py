"""Temporary files of commands: gone after every end, and what SIGKILL leaves is gone after the next command."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Server, until

from product.functions import ADD

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The temporary directory of the commands."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


class Waiting:
    """A deployment whose archive comes from a pipe that stays open."""

    def __init__(self, server: Server, temporary: Path, *, ignores: int | None = None) -> None:
        known = set(temporary.iterdir())
        env = server.cli.env | {"TMPDIR": str(temporary)}
        ignore = None if ignores is None else lambda: signal.signal(ignores, signal.SIG_IGN)
        self.process = subprocess.Popen(
            [str(server.program), "deploy", "-"],
            env=env,
            cwd=temporary,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=ignore,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(bytes(100))
        self.process.stdin.flush()
        # One to unpack into, one for what comes.
        until(lambda: len(set(temporary.iterdir()) - known) == 2, "it works in temporary directories")

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=10)

    def ends(self) -> int:
        return self.process.wait(20)


@pytest.mark.parametrize("how", SIGNALS)
def test_a_signal_takes_them_along(server: Server, temporary: Path, how: signal.Signals) -> None:
    with Waiting(server, temporary) as waiting:
        waiting.process.send_signal(how)
        assert waiting.ends() == 128 + how
        assert waiting.process.stderr is not None
        assert b"interrupted: nothing was changed" in waiting.process.stderr.read()
        assert not list(temporary.iterdir())


def test_what_was_to_be_ignored_stays_ignored(server: Server, temporary: Path) -> None:
    with Waiting(server, temporary, ignores=signal.SIGHUP) as waiting:
        waiting.process.send_signal(signal.SIGHUP)
        status = f"/proc/{waiting.process.pid}/status"
        ignored = int(next(line for line in Path(status).read_text().splitlines() if "SigIgn" in line).split()[1], 16)
        assert ignored & 1 << signal.SIGHUP - 1
        assert waiting.process.poll() is None
        waiting.process.terminate()
        assert waiting.ends() == 128 + signal.SIGTERM
        assert not list(temporary.iterdir())


def test_what_a_killed_command_leaves_goes_with_the_next(server: Server, temporary: Path) -> None:
    foreign = temporary / "faas-scratch-not-a-directory"
    foreign.write_text("somebody else's", "utf-8")
    link = temporary / "faas-scratch-link"
    link.symlink_to(temporary)
    with Waiting(server, temporary) as killed, Waiting(server, temporary) as alive:
        killed.process.kill()
        killed.ends()
        left = set(temporary.iterdir())
        assert len(left) == 6
        said = server.cli("deploy", "-", stdin="not an archive", env={"TMPDIR": str(temporary)}).exits(2).stderr
        assert "standard input is not a zip, tar or tar.gz archive" in said
        assert len(set(temporary.iterdir())) == 4, "those of the living are left alone"
        alive.process.terminate()
        alive.ends()
    assert set(temporary.iterdir()) == {foreign, link}


def test_the_git_of_a_command_ends_with_it(server: Server, temporary: Path, tmp_path: Path) -> None:
    real = shutil.which("git")
    programs = tmp_path / "programs"
    programs.mkdir()
    seen = tmp_path / "fetching"
    fake = programs / "git"
    fake.write_text(
        f'#!/bin/sh\ncase "$*" in\n*fetch*) echo $$ >{seen}.new; mv {seen}.new {seen}; sleep 300 ;;\n'
        f'*) exec {real} "$@" ;;\nesac\n',
        "utf-8",
    )
    fake.chmod(0o755)
    env = server.cli.env | {"TMPDIR": str(temporary), "PATH": f"{programs}:{os.environ['PATH']}"}
    words = [str(server.program), "deploy", "git+file:///nowhere"]
    command = subprocess.Popen(words, env=env, stderr=subprocess.DEVNULL)
    try:
        until(seen.exists, "git fetches")
        group = int(seen.read_text())
        assert processes_of(group)
        command.terminate()
        assert command.wait(20) == 128 + signal.SIGTERM
        until(lambda: not processes_of(group), "git has ended")
        assert not list(temporary.iterdir())
    finally:
        command.kill()
        command.wait(10)


def processes_of(group: int) -> list[Path]:
    """The processes of a group that still run."""

    def state(process: Path) -> list[str]:
        try:
            return (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return []

    states = ((process, state(process)) for process in Path("/proc").glob("[0-9]*"))
    return [process for process, words in states if words and int(words[2]) == group and words[0] not in "ZX"]


def test_nothing_is_left_of_what_ends_by_itself(server: Server, temporary: Path, name: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, text in entries(name):
            entry = tarfile.TarInfo(path)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    archive_path = temporary.parent / "x.tar.gz"
    archive_path.write_bytes(packed.getvalue())
    env = {"TMPDIR": str(temporary)}
    server.cli("deploy", archive_path, env=env).ok()
    assert server.cli("deploy", archive_path, "--only", "nowhere", env=env).code != 0
    server.cli("doctor", "-o", "json", env=env).ok()
    assert not list(temporary.iterdir())


def entries(name: str) -> Iterator[tuple[str, bytes]]:
    yield "faas.toml", f'name = "{name}"\n'.encode()
    yield "main.py", ADD.encode()
