"""The tree of commands, as their help tells it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness import Cli
from harness.paths import binary

NO_COMMANDS = {"Options", "Global options", "Examples", "Exit codes"}


@dataclass(frozen=True)
class Command:
    """A command that does something; groups only hold others."""

    path: tuple[str, ...]
    help: str

    @property
    def name(self) -> str:
        """Its words after the program's name."""
        return " ".join(self.path)

    def example(self) -> list[str]:
        """The arguments of the first example that is this very command."""
        for line in section(self.help, "Examples"):
            words = shlex.split(line.split("   ")[0].split(" | ")[0].split(" > ")[0])
            if tuple(words[1 : len(self.path) + 1]) == self.path:
                return words[1:]
        return list(self.path)


def section(text: str, name: str) -> list[str]:
    """The lines below a heading, up to the next gap."""
    found = re.search(rf"^{name}:\n((?:  .*\n)+)", text, re.M)
    return [line.strip() for line in found.group(1).splitlines()] if found else []


def bare_cli(home: Path) -> Cli:
    """The command line of somebody who has no profile."""
    return Cli(binary(), {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "PATH": "/usr/bin:/bin"})


@cache
def commands(home: Path) -> tuple[Command, ...]:
    """Every command, in the order of the help."""
    return tuple(_below(bare_cli(home), ()))


def _below(cli: Cli, path: tuple[str, ...]) -> Iterator[Command]:
    text = cli(*path, "--help").ok().stdout
    # The program itself has its commands in groups.
    headings = ["Commands"] if path else re.findall(r"^([A-Z][a-z, ]+):$", text, re.M)
    lines = [line for heading in headings if heading not in NO_COMMANDS for line in section(text, heading)]
    names = [line.split()[0] for line in lines if re.match(r"[a-z]", line)]
    if not names:
        yield Command(path, text)
    for name in names:
        if name != "help":
            yield from _below(cli, (*path, name))
