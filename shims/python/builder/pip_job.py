"""What pip is told, and what it has installed."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

PLACE = Path("/tmp/build")
INSTALLER = "/opt/installer"
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGES_MAX = 2_000


class PipJob:
    """One installation of `requirements.txt` and the files that it refers to."""

    def __init__(self, job: dict) -> None:
        self.job = job
        self.tree = PLACE / "tree"
        self.sources = PLACE / "sources"

    def prepare(self) -> None:
        """Writes what pip reads."""
        self.tree.mkdir(parents=True)
        (PLACE / "tmp").mkdir()
        for name, text in self.job["files"].items():
            path = self.sources / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if self.job["ca"]:
            system = SYSTEM_CERTIFICATES.read_text() if SYSTEM_CERTIFICATES.exists() else ""
            (PLACE / "ca.pem").write_text(system + "\n" + self.job["ca"])

    def install(self, port: int) -> list[str]:
        """The command that installs."""
        return [
            sys.executable,
            "-B",
            f"{INSTALLER}/pip",
            "install",
            "--target",
            str(self.tree),
            "--no-compile",
            "--no-warn-script-location",
            "--progress-bar",
            "off",
            "--proxy",
            f"http://127.0.0.1:{port}",
            "--requirement",
            str(self.sources / self.job["root"]),
        ]

    def environment(self, port: int) -> dict[str, str]:
        """pip's settings. Those of an isolated build of one package are taken from here as well."""
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
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_NO_INPUT": "1",
            "PIP_NO_COLOR": "1",
            "PIP_NO_CACHE_DIR": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            "PIP_RETRIES": "1",
            "PIP_TIMEOUT": "20",
        }
        lists = {
            "PIP_INDEX_URL": self.job["index"],
            "PIP_EXTRA_INDEX_URL": self.job["extra_indexes"],
            "PIP_FIND_LINKS": self.job["find_links"],
            "PIP_TRUSTED_HOST": self.job["trusted_hosts"],
        }
        environment |= {name: " ".join(values) for name, values in lists.items() if values}
        if self.job["ca"]:
            certificates = str(PLACE / "ca.pem")
            environment |= {"PIP_CERT": certificates, "SSL_CERT_FILE": certificates}
        return environment

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
