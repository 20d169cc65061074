"""A developer at work: a home of their own, and `faas dev` on one of their directories."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Cli, Client, Footprint, Server, until
from harness.paths import binary

Event = dict[str, Any]


class Developer:
    """An environment in which commands run, without a server."""

    def __init__(self, home: Path, **env: str) -> None:
        self.home = home
        # What commands run through, such as another user.
        self.prefix: list[str] = []
        self.program = binary()
        passed = {name: os.environ[name] for name in ("PATH", "LANG", "PYENV_ROOT") if name in os.environ}
        self.env = passed | {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
        self.env |= env

    @property
    def cli(self) -> Cli:
        """The command line."""
        return Cli(self.program, self.env, self.prefix)

    @property
    def profile(self) -> str:
        """What the profile holds."""
        path = self.home / "config/faas/credentials.toml"
        return path.read_text(encoding="utf-8") if path.exists() else ""


class Dev:
    """A running `faas dev`, and all that it has said."""

    def __init__(
        self,
        developer: Developer | Server,
        folder: Path,
        *args: str,
        program: Path | None = None,
        group: tuple[str, ...] = (),
        data: Path | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.folder = folder
        self.events: list[Event] = []
        marker = f"faas-test-{uuid.uuid4().hex}"
        self.footprint = Footprint(marker, data or folder / ".faas/dev/data")
        args = (*args, "--data", str(data)) if data else args
        command = [*developer.prefix, str(program or developer.program), *group]
        self.process = subprocess.Popen(
            [*command, "dev", str(folder), "-o", "ndjson", *args],
            env=developer.env | {"TEST_SERVER_MARK": marker},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def __enter__(self) -> Dev:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reading.join(5)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def has_said(self, kind: str, fits: Callable[[Event], bool] = lambda _: True, within: float = 30) -> Event:
        """The first event of this kind that fits."""

        def found() -> Event | None:
            if self.process.poll() is not None:
                said = self.process.stderr.read() if self.process.stderr else ""
                raise AssertionError(f"`faas dev` ended with {self.process.returncode}: {said}")
            return next((event for event in list(self.events) if event["event"] == kind and fits(event)), None)

        return until(found, f"`faas dev` says {kind}; it said {self.events}", within=within)

    def starts(self) -> Event:
        """The first deployment."""
        return self.has_said("deployed", within=120)

    @property
    def http(self) -> Client:
        """HTTP without a key."""
        return Client(int(self.starts()["url"].split(":")[2].split("/")[0]))

    def answer(self, path: str = "") -> Any:
        """What the function answers now."""
        name = self.starts()["function"]
        return self.http.get(f"/fn/{name}{path}").expect(200).json()
