"""One installation, whichever program does it."""

from __future__ import annotations

import csv
import os
import sys
from abc import ABC, abstractmethod
from pathlib import Path

PLACE = Path("/tmp/build")
INSTALLER = "/opt/installer"
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGES_MAX = 2_000
# Requirements that name every package there is to install, each with its version.
LOCKED = "locked.txt"
EXTRA_INDEX = "--extra-index-url "


class Job(ABC):
    """An installation of a file of requirements and the files that it refers to."""

    name: str

    def __init__(self, job: dict) -> None:
        self.job = job
        self.tree = PLACE / "tree"
        self.sources = PLACE / "sources"
        self.is_locked = job["root"] == LOCKED

    def prepare(self, refused: set[str]) -> None:
        """Writes what the installer reads, without the indexes of a lock that are not for this build."""
        self.tree.mkdir(parents=True)
        (PLACE / "tmp").mkdir()
        for name, text in self.job["files"].items():
            path = self.sources / name
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [line for line in text.splitlines(keepends=True) if line.strip() not in refused]
            path.write_text("".join(lines), encoding="utf-8")
        if self.job["ca"]:
            system = SYSTEM_CERTIFICATES.read_text() if SYSTEM_CERTIFICATES.exists() else ""
            (PLACE / "ca.pem").write_text(system + "\n" + self.job["ca"])

    def foreign_indexes(self) -> list[str]:
        """The lines of a lock that name indexes besides the operator's."""
        if not self.is_locked:
            return []
        own = {without_credentials(url) for url in [*self.job["index"], *self.job["extra_indexes"]]}
        lines = self.job["files"][LOCKED].splitlines()
        return [line for line in lines if line.startswith(EXTRA_INDEX) and index_of(line) not in own]

    def own_indexes(self) -> set[str]:
        """The lines of a lock that name an index that is asked anyway, with the operator's credentials."""
        if not self.is_locked:
            return set()
        lines = {line for line in self.job["files"][LOCKED].splitlines() if line.startswith(EXTRA_INDEX)}
        return lines - set(self.foreign_indexes())

    def is_hashed(self) -> bool:
        """Whether a hash is asked of any package: then one is asked of all."""
        return any("--hash=" in text or "--require-hashes" in text for text in self.job["files"].values())

    @abstractmethod
    def command(self, port: int) -> list[str]:
        """The command that installs."""

    def environment(self, port: int) -> dict[str, str]:
        """The installer's settings. Those of an isolated build of one package are taken from here as well."""
        proxy = f"http://127.0.0.1:{port}"
        environment = {
            "PATH": "/opt/python/bin:/usr/bin:/bin",
            "HOME": str(PLACE / "tmp"),
            "TMPDIR": str(PLACE / "tmp"),
            "LANG": "C.UTF-8",
            "HTTP_PROXY": proxy,
            "HTTPS_PROXY": proxy,
            "http_proxy": proxy,
            "https_proxy": proxy,
        }
        if certificates := self.certificates():
            environment["SSL_CERT_FILE"] = certificates
        return environment

    def certificates(self) -> str | None:
        """Whom to trust besides the operator's: the machine's. Where there are none, the installer has its own."""
        if self.job["ca"]:
            return str(PLACE / "ca.pem")
        return str(SYSTEM_CERTIFICATES) if SYSTEM_CERTIFICATES.exists() else None

    def clean(self) -> None:
        """Removes what is in the tree for the installer alone. Most installers leave nothing of the kind."""
        return

    def compile(self) -> list[str]:
        """The command that compiles what was installed for where it will appear."""
        script = "/opt/faas/builder/compiling.py"
        return [sys.executable, "-I", "-S", "-B", script, str(self.tree), self.job["target"]]

    def packages(self) -> list[dict[str, object]]:
        """What was installed, as its own metadata say."""
        found = []
        for folder in sorted(self.tree.glob("*.dist-info"))[:PACKAGES_MAX]:
            name, _, version = folder.name.removesuffix(".dist-info").partition("-")
            found.append({"name": name.replace("_", "-"), "version": version, "size": self._size(folder)})
        return found

    def _size(self, folder: Path) -> int:
        try:
            with (folder / "RECORD").open(newline="", encoding="utf-8") as record:
                names = [row[0] for row in csv.reader(record) if row]
        except (OSError, ValueError, csv.Error):
            return 0
        size = 0
        for name in names:
            path = os.path.normpath(self.tree / name)
            if path.startswith(f"{self.tree}/") and os.path.isfile(path):
                size += os.path.getsize(path)
        return size


def index_of(line: str) -> str:
    """The address in a line that names an index."""
    return line.removeprefix(EXTRA_INDEX).strip().rstrip("/")


def without_credentials(url: str) -> str:
    """The address of an index as a lock writes it."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}".rstrip("/")
