"""What uv is told: the same as pip, so that it does not matter to a function which of them a server has."""

from __future__ import annotations

import sys

from job import INSTALLER, Job

UV = f"{INSTALLER}/uv"


class UvJob(Job):
    """An installation by uv."""

    name = "uv"

    def command(self, port: int) -> list[str]:
        """The command that installs. Files are linked from the cache, which lies beside them: memory holds both."""
        lines = [line.strip() for text in self.job["files"].values() for line in text.splitlines()]
        return [
            UV,
            "pip",
            "install",
            "--no-config",
            "--no-cache",
            "--no-python-downloads",
            "--no-progress",
            "--link-mode",
            "hardlink",
            "--index-strategy",
            "unsafe-best-match",
            "--python",
            sys.executable,
            "--target",
            str(self.tree),
            *(["--no-deps"] if self.is_locked else []),
            *(["--require-hashes"] if self.is_hashed() else []),
            *(["--prerelease", "allow"] if "--pre" in lines else []),
            "--requirement",
            str(self.sources / self.job["root"]),
        ]

    def environment(self, port: int) -> dict[str, str]:
        """uv's settings. Downloads at once are fewer than the connections that a build may have."""
        environment = super().environment(port) | {
            "NO_COLOR": "1",
            "UV_CONCURRENT_DOWNLOADS": "12",
            "UV_CONCURRENT_BUILDS": "2",
            "UV_HTTP_RETRIES": "1",
            "UV_HTTP_TIMEOUT": "20",
            "UV_KEYRING_PROVIDER": "disabled",
        }
        lists = {
            "UV_DEFAULT_INDEX": self.job["index"],
            "UV_INDEX": self.job["extra_indexes"],
            "UV_FIND_LINKS": self.job["find_links"],
            "UV_INSECURE_HOST": self.job["trusted_hosts"],
        }
        environment |= {name: " ".join(values) for name, values in lists.items() if values}
        return environment

    def clean(self) -> None:
        """Removes the file with which uv keeps others out of the tree."""
        (self.tree / ".lock").unlink(missing_ok=True)
