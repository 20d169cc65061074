"""See the host's interfaces and open connections."""

import socket

from kit import denied, escaped


def attempt(event):
    names = []
    try:
        names = [name for _, name in socket.if_nameindex()]
    except OSError:
        pass
    if set(names) - {"lo", *(["eth0"] if event["has_network"] else [])}:
        return escaped(f"sees {names}")
    for file in ("tcp", "udp", "unix"):
        try:
            with open(f"/proc/net/{file}") as opened:
                text = opened.read()
        except OSError:
            continue
        if f":{event['port']:04X} " in text or event["decoy_abstract"] in text:
            return escaped(f"/proc/net/{file} shows the host's sockets")
    return denied(f"sees {names or 'no interface'}")
