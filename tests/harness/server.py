"""A real server: its own port, data directory, profile and environment, gone when the test ends however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from .api import Api
from .cli import Cli
from .footprint import Footprint
from .http import Client
from .machine import ORDINARY_UID, as_ordinary_user
from .paths import binary

READY_WITHIN = 120.0
STOP_WITHIN = 40.0
# Nothing of the caller's environment reaches the server except these.
PASSED_ON = ("PATH", "LANG", "PYENV_ROOT", "RUST_LOG", "RUST_BACKTRACE")


class ServerDownError(AssertionError):
    """The server did not become ready; the message holds its log."""


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One server over one data directory, started and stopped as often as the test wants."""

    def __init__(
        self,
        *,
        data: Path | None = None,
        args: list[str] | None = None,
        env: dict[str, str] | None = None,
        ordinary_user: bool = False,
        program: Path | None = None,
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="faas-test-"))
        # Its own, so that what it leaves in there is seen.
        self.temporary = self.home / "tmp"
        self.temporary.mkdir()
        self.data = data or self.home / f"data-{uuid.uuid4().hex[:12]}"
        self.log_path = self.home / "server.log"
        self.program = program or binary()
        self.args = (args or []) + os.environ.get("FAAS_TEST_ARGS", "").split()
        self.marker = f"faas-test-{uuid.uuid4().hex}"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix: list[str] = []
        if ordinary_user and os.geteuid() == 0:
            self.prefix = as_ordinary_user()
            self.program = self._readable_copy(self.program)
            for folder in (self.home, self.temporary):
                os.chown(folder, ORDINARY_UID, ORDINARY_UID)
        self.env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self.env |= {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "TMPDIR": str(self.temporary),
            "TEST_SERVER_MARK": self.marker,
        }
        self.env |= env or {}
        self.footprint = Footprint(self.marker, self.data)

    # === life ===

    def __enter__(self) -> Server:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            print(self.log_tail())
        self.close()

    def start(self, within: float = READY_WITHIN) -> Server:
        """Starts it and waits until it is ready."""
        self.spawn()
        end = time.monotonic() + within
        while not self.is_ready():
            if self.pid_status() is not None:
                raise ServerDownError(
                    f"the server exited with {self.pid_status()} before it was ready\n{self.log_tail()}"
                )
            if time.monotonic() > end:
                raise ServerDownError(f"the server was not ready after {within:g} s\n{self.log_tail()}")
            time.sleep(0.01)
        self.footprint.look(self.pid)
        return self

    def spawn(self) -> subprocess.Popen[bytes]:
        """Starts it without waiting for anything."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, str(self.program), *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                cwd=self.home,
                start_new_session=True,
            )
        return self.process

    def command(self) -> list[str]:
        """The arguments that `spawn` uses."""
        return ["up", "--listen", f"127.0.0.1:{self.port}", "--data", str(self.data), *self.args]

    def stop(self, within: float = STOP_WITHIN) -> int:
        """Asks it to end (SIGTERM) and returns its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.footprint.look(self.pid)
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server still runs {within:g} s after SIGTERM\n{self.log_tail()}") from None

    def kill(self) -> None:
        """Ends it with SIGKILL: it can clean up nothing."""
        assert self.process is not None
        self.footprint.look(self.pid)
        self.process.kill()
        self.process.wait(10)

    def close(self) -> None:
        """Ends what still runs and removes everything. Never fails over what a broken server left."""
        if self.process is not None and self.process.poll() is None:
            try:
                self.stop(within=15)
            except AssertionError:
                self.kill()
        for line in self.footprint.alive():
            _kill_quietly(int(line.split()[0]))
        shutil.rmtree(self.home, ignore_errors=True)

    # === doors ===

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self.process is not None
        return self.process.pid

    def pid_status(self) -> int | None:
        """Its exit code once it has ended."""
        return self.process.poll() if self.process else None

    def is_ready(self) -> bool:
        """Whether `/readyz` says so."""
        try:
            return Client(self.port, timeout=5).get("/readyz").status == 200
        except OSError:
            return False

    @property
    def key(self) -> str:
        """The admin key that the first start wrote."""
        return (self.data / "admin.key").read_text(encoding="ascii").strip()

    @property
    def http(self) -> Client:
        """HTTP with the admin key."""
        return Client(self.port, self.key)

    @property
    def api(self) -> Api:
        """The control plane in a few words."""
        return Api(self.http)

    @property
    def cli(self) -> Cli:
        """The command line, pointed at this server by environment."""
        return self.cli_with(FAAS_ENDPOINT=f"http://127.0.0.1:{self.port}", FAAS_API_KEY=self.key)

    def cli_with(self, **env: str) -> Cli:
        """The command line with the profile that the server wrote, and these variables."""
        return Cli(self.program, self.env | env, self.prefix)

    def metric(self, family: str, label: str = "") -> float:
        """The sum of a metric family's samples that have this text among their labels."""
        lines = self.http.get("/metrics").expect(200).body.decode().splitlines()
        own = [line for line in lines if line.startswith((f"{family} ", f"{family}{{")) and label in line]
        return sum(float(line.rpartition(" ")[2]) for line in own)

    def deploy(self, folder: Path, *args: str) -> Any:
        """Deploys with the command line and returns the deployment, with what it says of `upload` and `changes`."""
        printed = self.cli("deploy", folder, "-o", "ndjson", *args, timeout=180).ok().stdout
        events = [json.loads(line) for line in printed.splitlines()]
        compared = next(event["data"] for event in events if event["data"].get("step") == "compared")
        return events[-1]["data"] | {key: compared[key] for key in ("upload", "changes")}

    def log(self) -> str:
        """All that the server has logged."""
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines: int = 60) -> str:
        """The end of its log, for a failed test's report."""
        return "--- server log ---\n" + "\n".join(self.log().splitlines()[-lines:])

    def _readable_copy(self, program: Path) -> Path:
        os.chmod(self.home, 0o755)
        copy = self.home / program.name
        shutil.copy2(program, copy)
        copy.chmod(0o755)
        return copy


def _kill_quietly(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
