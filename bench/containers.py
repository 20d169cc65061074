"""`crun`, with a bundle as small as ours: the same program, the same files, nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .surroundings import ROOT, clean_env

ISOLATION = "namespaces, sealed root, no capabilities, cgroup limits; no seccomp"
NAMESPACES = ("pid", "network", "ipc", "uts", "mount")
QUIET = ["nosuid", "noexec", "nodev"]


@dataclass
class Crun:
    """A process that starts containers when told, and says how long each took."""

    process: subprocess.Popen[str]
    isolation: str = ISOLATION

    def start(self) -> float:
        """Microseconds from start to end of one container."""
        assert self.process.stdin and self.process.stdout
        print("go", file=self.process.stdin, flush=True)
        said = self.process.stdout.readline()
        if not said:
            raise RuntimeError(f"crun ended with {self.process.wait(10)}")
        return float(said)

    def end(self) -> None:
        """No more containers."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(30)


def crun(stack: ExitStack, command: list[str]) -> Crun | None:
    """None where it is not installed, or may not make containers."""
    if not shutil.which("crun") or os.geteuid() != 0:
        return None
    bundle = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-crun-")))
    (bundle / "rootfs").mkdir()
    (bundle / "config.json").write_text(json.dumps(_config(command)))
    # It refuses machines that have both versions of cgroups: it gets a view of this one without the second.
    hide = 'mountpoint -q /sys/fs/cgroup/unified && umount /sys/fs/cgroup/unified; exec "$@"'
    view = ["unshare", "--mount", "--propagation", "private", "sh", "-c", hide, "sh"]
    words = [*view, sys.executable, "-m", "bench.containers", str(bundle)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    started = Crun(subprocess.Popen(words, cwd=ROOT, env=clean_env(), text=True, **pipes))
    stack.callback(started.end)
    return started


def _config(command: list[str]) -> dict[str, object]:
    """An OCI bundle: the directories that the program needs, read-only, in namespaces of its own."""
    prefix = str(Path(command[0]).parents[1])
    folders = [d for d in ("/usr", "/lib", "/lib64", "/bin", prefix) if os.path.exists(d)]
    binds = [
        {"destination": d, "type": "bind", "source": os.path.realpath(d), "options": ["rbind", "ro"]}
        for d in dict.fromkeys(folders)
    ]
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*QUIET, "mode=1777", "size=64m"]},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmp", "options": [*QUIET, "mode=1777", "size=64m"]},
    ]
    sets = ("bounding", "effective", "inheritable", "permitted", "ambient")
    return {
        "ociVersion": "1.0.0",
        "process": {
            "terminal": False,
            "user": {"uid": 1000, "gid": 1000},
            "args": command,
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
            "capabilities": {name: [] for name in sets},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "sandbox",
        "mounts": [*mounts, *binds],
        "linux": {
            "resources": {"memory": {"limit": 128 << 20}, "pids": {"limit": 128}},
            "namespaces": [{"type": kind} for kind in NAMESPACES],
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }


def _serve(bundle: Path) -> None:
    from .starts import Start, started

    state = bundle / "state"
    for number, _ in enumerate(sys.stdin):
        name = f"bench-{os.getpid()}-{number}"
        print(started(Start(["crun", "--root", str(state), "run", "--bundle", str(bundle), name])), flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
