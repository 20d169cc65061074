"""README.md, followed word for word with a fresh clone: what it says to type works, what it shows is seen."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from harness import Footprint, free_port, until
from harness.paths import ROOT, binary

README = ROOT / "README.md"
# Of what a clone holds, what running needs: the sources are compiled already.
CLONED = ["Cargo.toml", "Makefile", "README.md", "docs", "examples", "scripts"]
# What a reader ends with Ctrl-C.
FOREGROUND = "# Ctrl-C ends it"
# What takes longer than a test may: compiling. What it builds is tested everywhere else.
COMPILES = ("PROFILE=release make build", "target/release/faas up", "make test")
END = "--- the end of what was typed: "


@dataclass
class Step:
    """A block of commands, and what the README shows below it."""

    commands: str
    shown: list[str] = field(default_factory=list)

    @property
    def stays(self) -> bool:
        """Whether it runs until Ctrl-C."""
        return FOREGROUND in self.commands


def steps(text: str) -> list[Step]:
    """The blocks of shell commands in their order, each with the output below it."""
    found: list[Step] = []
    for kind, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if kind == "sh":
            found.append(Step(body))
        elif not kind:
            found[-1].shown += body.splitlines()
    return found


class Terminal:
    """A shell in which one block follows the other."""

    def __init__(self, env: dict[str, str], cwd: Path, log: Path) -> None:
        self.log = log
        self.ended = 0
        with log.open("wb") as out:
            self.shell = subprocess.Popen(
                ["bash"], env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True
            )

    def types(self, commands: str) -> None:
        """Types a block, line by line as pasted."""
        assert self.shell.stdin is not None
        self.shell.stdin.write(commands.encode())
        self.shell.stdin.flush()

    def finishes(self, commands: str) -> str:
        """Types a block and waits for its end. What it printed."""
        before = len(self.said())
        self.ended += 1
        mark = f"{END}{self.ended}"
        self.types(f"{commands}\necho '{mark}'\n")
        until(lambda: mark in self.said(), f"`{commands}` ends\n{self.said()}", within=120)
        return self.said()[before:]

    def said(self) -> str:
        """All that was printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def interrupt(self) -> None:
        """Ctrl-C, which goes to all that runs in the foreground."""
        if self.shell.poll() is None:
            os.killpg(self.shell.pid, signal.SIGINT)

    def close(self) -> None:
        """Ends the shell and what it has started."""
        if self.shell.stdin is not None:
            self.shell.stdin.close()
        try:
            self.shell.wait(45)
        except subprocess.TimeoutExpired:
            os.killpg(self.shell.pid, signal.SIGKILL)
            self.shell.wait()


def like(line: str) -> re.Pattern[str]:
    """A line of output, whatever ports were free."""
    return re.compile(re.sub(r"127\\\.0\\\.0\\\.1:\d+", r"127\\.0\\.0\\.1:\\d+", re.escape(line)))


def assert_seen(step: Step, said: str) -> None:
    for line in step.shown:
        assert like(line).search(said), f"README shows `{line}` below\n{step.commands}\nand one sees\n{said}"


def clone(place: Path) -> Path:
    """A fresh clone in which `make run` has compiled."""
    tree = place / "clone"
    tree.mkdir()
    for name in CLONED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("vendor", "node_modules"))
        else:
            shutil.copy(source, tree / name)
    built = tree / "target/debug"
    built.mkdir(parents=True)
    shutil.copy(binary(), built / "faas")
    return tree


def test_what_the_readme_says_to_type_works(tmp_path: Path) -> None:
    tree = clone(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYENV_ROOT") if name in os.environ}
    env = kept | {"HOME": str(home), "FAAS_PORT": str(free_port()), "FAAS_BIN": str(tree / "target/debug/faas")}
    env |= {"TEST_SERVER_MARK": str(tmp_path), "no_proxy": "127.0.0.1"}
    footprint = Footprint(str(tmp_path), tree / "target/run/data")
    script = [step for step in steps(README.read_text(encoding="utf-8")) if not step.commands.startswith(COMPILES)]
    assert [step.commands.split()[:2] for step in script if step.stays] == [["make", "run"], ["faas", "dev"]]
    assert sum(len(step.shown) for step in script) >= 6, "README shows what one sees"
    first = Terminal(env, tree, tmp_path / "first")
    second = Terminal(env, tree, tmp_path / "second")
    try:
        for step in script:
            if not step.stays:
                assert_seen(step, second.finishes(step.commands))
                continue
            # `make run` has the first terminal to itself; `faas dev` is the last thing in the second.
            terminal = first if step.commands.startswith("make") else second
            terminal.types(step.commands)
            seen = [like(line) for line in step.shown]
            until(
                lambda t=terminal, s=seen: all(line.search(t.said()) for line in s),
                f"`{step.commands}` shows {step.shown}\n{terminal.said()}",
                within=120,
            )
        url = re.findall(r"http://127\.0\.0\.1:\d+/fn/hello", second.said())[-1]
        answer = subprocess.run(
            ["curl", "--silent", "--fail", "--noproxy", "*", url],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "hello, world" in answer.stdout
    finally:
        footprint.look(first.shell.pid)
        for terminal in (second, first):
            terminal.interrupt()
        for terminal in (second, first):
            terminal.close()
    until(lambda: footprint.leftovers() == [], "nothing is left", within=15)
