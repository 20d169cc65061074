"""Lets a debugger in, where the server asks for it: only one that runs inside of a developer's own command does."""

from __future__ import annotations

import os
import sys

from .errors import LoadError
from .files import VENDOR_DIRS
from .loading import PACKAGES
from .protocol import DEBUGGER, Channel, pack

# Tells debugpy which files are of the user's making: it passes over the others.
ROOTS = "IDE_PROJECT_ROOTS"


def let_in(channel: Channel, wanted: dict, code: str) -> None:
    """Listens for debuggers, tells where, and waits for one if that is wanted."""
    mounted = wanted.get("package")
    places = [mounted] if mounted else [*(f"{code}/{name}" for name in VENDOR_DIRS), PACKAGES]
    os.environ[ROOTS] = code
    sys.path[:0] = places
    try:
        import debugpy
    except ImportError as error:
        hint = "install it: python3 -m pip install debugpy"
        raise LoadError("DebuggerMissing", f"debugpy cannot be imported: {error}", hint) from None
    finally:
        del sys.path[: len(places)]
    # What the user's code starts is not followed.
    debugpy.configure(subProcess=False)
    # Any port that is free: nobody but the server can reach it.
    _, port = debugpy.listen(("127.0.0.1", 0))
    del os.environ[ROOTS]
    channel.send(pack(DEBUGGER, 0, port.to_bytes(2, "little")))
    if wanted["waits"]:
        debugpy.wait_for_client()
