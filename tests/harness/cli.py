"""The command line, run as a person's shell runs it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class CliResult:
    """What a command left behind."""

    args: list[str]
    code: int
    stdout: str
    stderr: str

    def ok(self) -> CliResult:
        """Itself, if it succeeded."""
        return self.exits(0)

    def exits(self, code: int) -> CliResult:
        """Itself, if it ended with this code."""
        said = f"\nstdout: {self.stdout[-3000:]}\nstderr: {self.stderr[-3000:]}"
        assert self.code == code, f"faas {' '.join(self.args)} exited {self.code}, wanted {code}{said}"
        return self

    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.stdout)


class Cli:
    """`faas` with an environment of its own. `prefix` runs it through another program (as another user, say)."""

    def __init__(self, binary: Path, env: dict[str, str], prefix: list[str] | None = None) -> None:
        self.binary, self.env, self.prefix = binary, env, prefix or []

    def __call__(
        self,
        *args: str | Path,
        stdin: str | None = None,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 120.0,
    ) -> CliResult:
        """Runs one command to its end; never with a terminal."""
        words = [str(arg) for arg in args]
        done = subprocess.run(
            [*self.prefix, str(self.binary), *words],
            input=stdin if stdin is not None else "",
            env=self.env | (env or {}),
            cwd=cwd,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        return CliResult(words, done.returncode, done.stdout, done.stderr)
