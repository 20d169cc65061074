"""Read the launcher's environment and arguments through pid 1."""

from kit import denied, escaped


def attempt(event):
    seen = b""
    for file in ("environ", "cmdline"):
        try:
            with open(f"/proc/1/{file}", "rb") as opened:
                seen += opened.read()
        except OSError:
            continue
    for secret in (event["marker"], event["data"], event["key"]):
        if secret.encode() in seen:
            return escaped(f"pid 1 shows {secret[:12]}...")
    return denied("pid 1 shows nothing of the server")
