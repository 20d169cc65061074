"""Learn who the host is: its name, its users, its machine id, its disks and command line."""

import os
import socket

from kit import denied, escaped

CONTROL = "root"


def attempt(event):
    if event["host_name"] in (socket.gethostname(), os.uname().nodename):
        return escaped("the host's name is to be seen")
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id", "/sys/class/dmi/id/product_uuid", "/proc/cmdline"):
        try:
            with open(path, "rb") as opened:
                if opened.read(16).strip():
                    return escaped(f"{path} can be read")
        except OSError:
            continue
    for path in ("/etc/passwd", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname"):
        try:
            with open(path, encoding="utf-8", errors="replace") as opened:
                text = opened.read()
        except OSError:
            continue
        if event["host_name"] in text.split() or "/root:/bin" in text:
            return escaped(f"{path} is the host's")
    return denied("nothing tells which host this is")
