"""Our server, as the bench runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .running import APPS, running
from .surroundings import clean_env, free_port, interpreter

LEVELS = {
    2: "own namespaces of all seven kinds, sealed root, seccomp, no capabilities, cgroup limits",
    1: "as level 2, but some cgroup limit is missing",
    0: "none",
}


class Ours:
    """A server with a data directory and a key of its own."""

    def __init__(self, binary: Path, *arguments: str) -> None:
        self.binary, self.port, self.arguments = binary, free_port(), arguments
        self.place = Path(tempfile.mkdtemp(prefix="bench-faas-"))
        self.data = self.place / "data"
        self.env = {"XDG_CONFIG_HOME": str(self.place / "config")}

    def command(self) -> list[str]:
        """How it is started."""
        listen = f"127.0.0.1:{self.port}"
        return [str(self.binary), "up", "--listen", listen, "--data", str(self.data), *self.arguments]

    @property
    def key(self) -> str:
        """Its admin key."""
        return (self.data / "admin.key").read_text().strip()

    def cli(self, *words: str) -> str:
        """One command; its standard output."""
        env = clean_env(FAAS_ENDPOINT=f"http://127.0.0.1:{self.port}", FAAS_API_KEY=self.key, **self.env)
        done = subprocess.run([self.binary, *words], env=env, capture_output=True, text=True, timeout=180, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"faas {' '.join(words)}: {done.stderr}")
        return done.stdout

    def deploy(self, app: str, name: str, manifest: str = "", runtime: str | None = None) -> None:
        """Deploys one of the apps under a name of its own."""
        folder = self.place / name
        shutil.copytree(APPS / app, folder)
        (folder / "faas.toml").write_text(f'name = "{name}"\nruntime = "{runtime or interpreter().name}"\n{manifest}')
        self.cli("deploy", str(folder), "-o", "json")

    def isolation(self) -> str:
        """The level that its runs really had, from a run's record."""
        runs = json.loads(self.cli("runs", "list", "-o", "json"))["items"]
        return f"level {runs[0]['isolation']}: {LEVELS[runs[0]['isolation']]}"

    def remove(self) -> None:
        """Removes its directory."""
        shutil.rmtree(self.place, ignore_errors=True)


def binary() -> Path:
    """The build that `scripts/bench` made."""
    return Path(os.environ["FAAS_BIN"]).resolve()


@contextmanager
def serving(*arguments: str, **settings: str) -> Iterator[Ours]:
    """A server for as long as it is needed; settings are variables of its environment."""
    ours = Ours(binary(), *arguments)
    try:
        with running(ours.command(), ours.port, "/readyz", **ours.env, **settings):
            yield ours
    finally:
        ours.remove()
