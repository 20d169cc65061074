"""Send from addresses that are not the sandbox's own: as the host, as a neighbour, as anybody."""

import socket

from kit import denied, escaped

IP_FREEBIND = 15


def attempt(event):
    reached, sent = [], 0
    for source in ("127.0.0.1", "192.0.0.1", "192.0.0.3", "10.0.0.1", *event["host_addresses"]):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            for target in ("127.0.0.1", *event["host_addresses"]):
                if source == "127.0.0.1" == target:
                    continue
                with socket.socket(socket.AF_INET, kind) as tried:
                    tried.settimeout(0.3)
                    try:
                        # A program may bind to any address with this; what comes of it is the network's to decide.
                        tried.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
                        tried.bind((source, 0))
                        tried.connect((target, event["decoy_udp" if kind == socket.SOCK_DGRAM else "decoy_tcp"]))
                        tried.send(event["decoy_word"].encode())
                        sent += 1
                        if kind == socket.SOCK_STREAM:
                            reached.append(f"{source} to {target}")
                    except OSError:
                        continue
    if reached:
        return escaped(f"connections from {reached}")
    # Datagrams tell nothing: the driver listens for them.
    return denied(f"no connection; {sent} datagrams were sent nowhere, as the driver will see")
