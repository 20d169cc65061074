"""What pip is told."""

from __future__ import annotations

import sys

from job import INSTALLER, Job


class PipJob(Job):
    """An installation by pip."""

    name = "pip"

    def command(self, port: int) -> list[str]:
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
            *(["--no-deps"] if self.is_locked else []),
            "--requirement",
            str(self.sources / self.job["root"]),
        ]

    def environment(self, port: int) -> dict[str, str]:
        """pip's settings."""
        environment = super().environment(port) | {
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
        if certificates := self.certificates():
            environment["PIP_CERT"] = certificates
        return environment
