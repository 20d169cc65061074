"""Find a mount that is writable, honours set-user-id bits, holds devices, or is of a kind that reaches the kernel."""

from kit import denied, escaped

CONTROL = "root"
WRITABLE = {"/tmp", "/dev/shm"}
KINDS = {"proc", "tmpfs", "devtmpfs", "ext4", "xfs", "btrfs", "overlay", "zfs", "f2fs", "9p", "virtiofs"}


def attempt(event):
    seen = 0
    with open("/proc/self/mountinfo") as mounts:
        for line in mounts:
            before, _, after = line.partition(" - ")
            root, place, flags = before.split()[3:6]
            kind, options = after.split()[0], flags.split(",")
            seen += 1
            device = kind == "devtmpfs"
            if kind not in KINDS:
                return escaped(f"{place} is a {kind}")
            if device and root not in ("/null", "/zero", "/full", "/random", "/urandom"):
                return escaped(f"{place} shows the host's /dev{root}")
            if "rw" in options and place not in WRITABLE:
                return escaped(f"{place} is writable: {flags}")
            if "nosuid" not in options or ("nodev" not in options and not device):
                return escaped(f"{place} lacks nosuid or nodev: {flags}")
            if "shared:" in before or "master:" in before:
                return escaped(f"{place} is tied to the host's mounts")
    return denied(f"{seen} mounts, all sealed or private")
