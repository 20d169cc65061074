"""A disk whose power can be cut: ext4 in a file, by way of a loop device."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import tempfile
from pathlib import Path

from .wait import until

# _IOR('X', 125, __u32) of the kernel's ext4 header; 2 drops what is in the journal's memory.
EXT4_IOC_SHUTDOWN = 0x8004_587D
WITHOUT_LOG_FLUSH = 2


class PowerCutDisk:
    """Mounted for as long as it is used."""

    def __init__(self, megabytes: int = 1_500) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="faas-disk-"))
        self.image, self.path = self.place / "image", self.place / "mount"
        self.path.mkdir()
        with self.image.open("wb") as image:
            image.truncate(megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self.image)], check=True)

    def __enter__(self) -> PowerCutDisk:
        self._mount()
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=False)
        shutil.rmtree(self.place, ignore_errors=True)

    def cut(self, process: int | None = None) -> None:
        """From now on nothing reaches the disk; what was not fsynced is gone.

        `process` is stopped first, for power leaves the processors no later than the disk: an `fdatasync` that meets
        the shutdown of its file system may succeed though what it was to write is lost, and a process that still runs
        would tell somebody.
        """
        if process is not None:
            _stop(process)
        handle = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_LOG_FLUSH))
        finally:
            os.close(handle)

    def power_on(self) -> None:
        """Mounts what the disk holds, once nobody uses the dead mount any more."""
        until(self._unmounted, "nothing holds the dead mount", within=30, every=0.1)
        # A sandbox that is about to die may hold a copy of it, and to mount a device again is to get what it was
        # mounted as: the dead file system.
        until(self._detached, "nothing holds a copy of the dead mount", within=30, every=0.02)
        self._mount()

    def _mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", str(self.image), str(self.path)], check=True)

    def _unmounted(self) -> bool:
        return subprocess.run(["umount", str(self.path)], check=False, capture_output=True).returncode == 0

    def _detached(self) -> bool:
        return not any(_backing(device) == str(self.image) for device in Path("/sys/block").glob("loop*"))


def _backing(device: Path) -> str | None:
    """The file behind a loop device in use."""
    try:
        return (device / "loop/backing_file").read_text(encoding="utf-8").rstrip("\n")
    except OSError:
        return None


def _stop(process: int) -> None:
    """Returns once no thread of it can do more than end the system call it is in."""
    os.kill(process, signal.SIGSTOP)

    def halted(task: Path) -> bool:
        try:
            stat = (task / "stat").read_text(encoding="ascii", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return True
        return stat.rpartition(")")[2].split()[0] in "TDZ"

    until(lambda: all(map(halted, Path(f"/proc/{process}/task").iterdir())), "the process stops", within=5)
