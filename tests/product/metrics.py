"""One number from `/metrics`."""

from __future__ import annotations

import re

from harness import Server


def sample(server: Server, name: str, **labels: str) -> float:
    """The sample of this name with exactly these labels; 0 where there is none."""
    wanted = dict(labels)
    for line in server.http.get("/metrics").expect(200).body.decode().splitlines():
        found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if found and found[1] == name and dict(re.findall(r'(\w+)="([^"]*)"', found[2] or "")) == wanted:
            return float(found[3])
    return 0.0


def families(server: Server, name: str) -> list[str]:
    """Every sample line of one name."""
    lines = server.http.get("/metrics").expect(200).body.decode().splitlines()
    return [line for line in lines if re.match(rf"{name}[{{ ]", line)]
