"""Learn from notices about shared directories which modules other functions import."""

import fcntl
import os
import signal
import xml

from kit import barred, every, in_child

CONTROL = "any"


def attempt(event):
    def watch(place):
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        fd = os.open(place, os.O_RDONLY)
        kinds = fcntl.DN_ACCESS | fcntl.DN_MULTISHOT
        return barred(f"notices about {place}", lambda: fcntl.fcntl(fd, fcntl.F_NOTIFY, kinds))

    places = (os.path.dirname(os.__file__), os.path.dirname(xml.__file__), "/tmp")
    return every(in_child(lambda p=p: watch(p)) for p in places)
