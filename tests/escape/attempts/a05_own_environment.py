"""Find the server's variables in the function's own environment, also as it was at exec."""

import os

from kit import denied, escaped


def attempt(event):
    with open("/proc/self/environ", "rb") as opened:
        raw = opened.read() + "\0".join(f"{k}={v}" for k, v in os.environ.items()).encode()
    for secret in (event["marker"], event["data"], event["key"], event["home"]):
        if secret.encode() in raw:
            return escaped(f"the environment shows {secret[:12]}...")
    return denied(f"only its own: {sorted(os.environ)}")
