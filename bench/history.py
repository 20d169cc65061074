"""How long a page of the history takes: `python -m bench.history`, over ten million runs unless told otherwise.

The runs are written into the database of a stopped server, some 0.5 GB for each million, and removed afterwards. Each
filter is asked for its first page again and again, over HTTP, by a client that keeps its connection.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PAIRS = [a + b for a in ALPHABET for b in ALPHABET]
BATCH = 50_000
FUNCTIONS = 100
SUCCEEDED, FAILED = 2, 3
TIMED_OUT = 2


def id_text(prefix: str, millis: int, number: int) -> str:
    """An id as the server writes it; `number` is its random part, below 2^30."""
    time_part = "".join(PAIRS[millis >> shift & 1023] for shift in (40, 30, 20, 10, 0))
    return (
        f"{prefix}_{time_part}{'0' * 10}{PAIRS[number >> 20 & 1023]}{PAIRS[number >> 10 & 1023]}{PAIRS[number & 1023]}"
    )


def id_blob(millis: int, number: int) -> bytes:
    """The same id as the database keeps it."""
    return (millis << 80 | number).to_bytes(16, "big")


def id_of(text: str) -> bytes:
    """An id from its text."""
    number = 0
    for letter in text.partition("_")[2]:
        number = number << 5 | ALPHABET.index(letter)
    return number.to_bytes(16, "big")


def moment(millis: int) -> str:
    """RFC 3339 with milliseconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(millis // 1000)) + f".{millis % 1000:03}Z"


class Runs:
    """Rows of a project that ran for 20 days: 1 in 1,000 cold, 1 in 5,000 failed, durations of 1 to 100 ms."""

    def __init__(self, project: str, busiest: str, total: int) -> None:
        self.project, self.project_text, self.total = id_of(project), project, total
        self.busiest = id_of(busiest), busiest
        self.end = int(time.time() * 1000)
        self.step = 20 * 86_400_000 / total

    def function(self, n: int) -> tuple[bytes, str]:
        """The id of a function, as bytes and as text; half of all runs are the first one's."""
        number = 0 if n % 2 else n % (2 * FUNCTIONS) // 2
        return (id_blob(self.end, number), id_text("fn", self.end, number)) if number else self.busiest

    def rows(self, first: int, last: int) -> Iterator[tuple[object, ...]]:
        """Rows of the table `runs`, oldest first."""
        for n in range(first, last):
            millis = self.end - int((self.total - n) * self.step)
            function, function_text = self.function(n)
            version, cold, failed = n * 20 // self.total + 1, n % 1000 == 0, n % 5000 == 3
            state, name = (FAILED, "failed") if failed else (SUCCEEDED, "succeeded")
            duration = 1000 + n * 7919 % 99_000
            at = moment(millis)
            code = ',"code":"FN_002"' if failed else ""
            subject = f'{{"function":{{"id":"{function_text}","name":"bench","version":{version}}}}}'
            record = (
                f'{{"id":"{id_text("run", millis, n)}","project":"{self.project_text}","subject":{subject},'
                f'"state":"{name}","trigger":"http","created_at":"{at}",'
                f'"duration_us":{duration},"cold_start":{str(cold).lower()},"isolation":2,"attempts":[]{code}}}'
            )
            yield (
                self.project, id_blob(millis, n), function, version, state, "http", 1, int(cold),
                TIMED_OUT if failed else None, duration, record,
            )  # fmt: skip


def fill(database: Path, total: int) -> tuple[str, int]:
    """Writes the runs, half of them of the one function that there is; returns its id and the time of the middle."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -262144")
    entry = "SELECT value FROM entries WHERE collection = ?"
    project = json.loads(connection.execute(entry, ["projects"]).fetchone()[0])
    busiest = json.loads(connection.execute(entry, ["functions"]).fetchone()[0])["id"]
    runs = Runs(project, busiest, total)
    begun = time.monotonic()
    for first in range(0, total, BATCH):
        with connection:
            connection.executemany(
                "INSERT INTO runs (project, id, function, version, state, trigger, ended, cold, code, duration, record)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                runs.rows(first, min(first + BATCH, total)),
            )
        if first // BATCH % 20 == 0:
            print(f"  {first:,} of {total:,} after {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    connection.close()
    return busiest, runs.end - int(total * runs.step / 2)


class Server:
    """A server over a data directory."""

    def __init__(self, program: Path, data: Path) -> None:
        self.program, self.data, self.port = program, data, 0

    def __enter__(self) -> Server:
        words = [str(self.program), "up", "--listen", "127.0.0.1:0", "--data", str(self.data), "--log-format", "json"]
        self.process = subprocess.Popen(
            words, stderr=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin", "XDG_CONFIG_HOME": str(self.data)}
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if '"ready"' in line:
                self.port = int(line.split("127.0.0.1:")[1].split('"')[0])
                return self
        raise RuntimeError("the server did not become ready")

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)

    def deploy(self, folder: Path) -> None:
        """Deploys a function, for its id."""
        key = (self.data / "admin.key").read_text().strip()
        env = {"FAAS_ENDPOINT": f"http://127.0.0.1:{self.port}", "FAAS_API_KEY": key, "PATH": "/usr/bin:/bin"}
        folder.mkdir()
        (folder / "main.py").write_text("def handler():\n    return 1\n")
        (folder / "faas.toml").write_text('name = "bench"\nruntime = "python"\n')
        subprocess.run([self.program, "deploy", folder], env=env, check=True, capture_output=True)

    def pages(self, path: str, rounds: int) -> tuple[list[float], dict]:
        """Milliseconds of each answer, and the last one."""
        key = (self.data / "admin.key").read_text().strip()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        times, page = [], {}
        for _ in range(rounds):
            begun = time.perf_counter()
            connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
            answer = connection.getresponse()
            body = answer.read()
            times.append((time.perf_counter() - begun) * 1e3)
            assert answer.status == 200, body
            page = json.loads(body)
        connection.close()
        return times, page


def measure(server: Server, rounds: int, busiest: str, middle: str) -> None:
    """One line for each filter."""
    print(f"| {'page of 50':<44} | p50 ms | p95 ms | rows | looked at |\n|---|---:|---:|---:|---:|")
    for what, query in [
        ("newest", ""),
        ("failed", "state=failed"),
        ("one code", "code=FN_002"),
        ("a code that never was", "code=FN_007"),
        ("cold", "cold=true"),
        ("warm and succeeded", "cold=false&state=succeeded"),
        ("until the middle", f"until={middle}"),
        ("failed, until the middle", f"state=failed&until={middle}"),
        ("cold, by http, of 5 to 10 ms", "cold=true&trigger=http&min_duration=5ms&max_duration=10ms"),
        ("slower than any", "min_duration=1s"),
        ("a trigger that never was", "trigger=replay"),
        ("an old version", "version=2"),
        ("a version that never was", "version=99"),
        ("one function", f"function={busiest}"),
        ("one function, failed", f"function={busiest}&state=failed"),
        ("one function, cold, until the middle", f"function={busiest}&cold=true&until={middle}"),
        ("one function, an old version", f"function={busiest}&version=2"),
    ]:
        times, page = server.pages(f"/api/v1/runs?limit=50&{query}", rounds)
        times.sort()
        p95 = times[len(times) * 95 // 100]
        print(
            f"| {what:<44} | {statistics.median(times):.1f} | {p95:.1f} | {len(page['runs'])} | {page['examined']:,} |"
        )


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--program", type=Path, default=Path("target/release/faas"))
    words.add_argument("--runs", type=int, default=10_000_000)
    words.add_argument("--rounds", type=int, default=100)
    chosen = words.parse_args()
    place = Path(tempfile.mkdtemp(prefix="faas-history-"))
    data = place / "data"
    try:
        with Server(chosen.program, data) as server:
            server.deploy(place / "function")
        busiest, middle = fill(data / "faas.db", chosen.runs)
        size = (data / "faas.db").stat().st_size
        with Server(chosen.program, data) as server:
            print(f"{chosen.runs:,} runs, {size / 1e9:.1f} GB")
            measure(server, chosen.rounds, busiest, moment(middle))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
