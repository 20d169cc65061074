"""Read the host's password hashes and other files that only its root may see."""

from kit import NOT_THERE, barred, every

CONTROL = "root"
PATHS = ("/etc/shadow", "/etc/gshadow", "/etc/sudoers")


def attempt(event):
    return every(barred(f"read {path}", lambda path=path: open(path, "rb").read(64), NOT_THERE) for path in PATHS)
