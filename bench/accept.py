"""How fast runs are durably accepted over HTTP, and how fast they then reach their terminal state.

`python -m bench.accept` with FAAS_BIN naming the server's binary. Each run is committed and fsynced before its 202. The
load is wrk's, on the same cores. `--fsync-ms N` delays every fsync of the server by so much, with strace.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from .surroundings import clean_env
from .targets import Ours, binary_from_env, running
from .wrk import WrongAnswerError

POST = """
wrk.method = "POST"
wrk.body = '{"n": 1}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer %s"
done = function(summary, latency)
  local e = summary.errors
  local bad = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format('{"requests": %%d, "us": %%d, "bad": %%d, "p50": %%d, "p99": %%d}',
    summary.requests, summary.duration, bad, latency:percentile(50), latency:percentile(99)))
end
"""
CODE = "def handler(n: int):\n    return n\n"
CLIENTS = (1, 16, 64)


def main() -> int:
    """Prints one JSON document."""
    words = argparse.ArgumentParser(prog="python -m bench.accept", description=__doc__)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--seconds", type=int, default=3)
    words.add_argument("--fsync-ms", type=float, default=0.0)
    chosen = words.parse_args()
    results = measure(chosen.rounds, chosen.seconds, chosen.fsync_ms)
    print(json.dumps(results, indent=2))
    return 0


def measure(rounds: int, seconds: int, fsync_ms: float) -> dict[str, object]:
    """Accepts while the function is held back, then the same with it running."""
    with _server(fsync_ms) as ours:
        function = _folder(ours)
        ours.cli("deploy", str(function), "--name", "noop")
        accepts: dict[int, list[dict[str, float]]] = {clients: [] for clients in CLIENTS}
        whole: list[float] = []
        _post(ours, "/fn/noop", 16, 1)
        for _ in range(rounds):
            ours.cli("fn", "pause", "noop")
            for clients in CLIENTS:
                accepts[clients].append(_accept(ours, clients, seconds))
            ours.cli("fn", "resume", "noop")
            _wait_empty(ours)
            whole.append(_end_to_end(ours, seconds))
    return {
        "fsync_delay_ms": fsync_ms,
        "accepts": {str(clients): _middle(runs) for clients, runs in accepts.items()},
        "end_to_end_runs_per_second": round(statistics.median(whole)),
    }


@contextmanager
def _server(fsync_ms: float) -> Iterator[Ours]:
    ours = Ours(binary_from_env())
    command = ours.command()
    if fsync_ms > 0:
        delay = f"inject=fsync,fdatasync:delay_enter={round(fsync_ms * 1000)}"
        command = ["strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "trace=fsync,fdatasync"]
        command += ["-e", delay, *ours.command()]
    with running(command, ours.port, "/readyz", **ours.env):
        yield ours


def _folder(ours: Ours) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="noop-", dir=ours.place))
    (folder / "main.py").write_text(CODE)
    manifest = 'name = "noop"\nruntime = "python"\n[scaling]\nmax = 4\n[background]\nbacklog_max = 1000000\n'
    (folder / "faas.toml").write_text(manifest)
    return folder


def _accept(ours: Ours, clients: int, seconds: int) -> dict[str, float]:
    got = _post(ours, "/async/noop", clients, seconds)
    return {"per_second": got["requests"] / (got["us"] / 1e6), "p50_us": got["p50"], "p99_us": got["p99"]}


def _end_to_end(ours: Ours, seconds: int) -> float:
    """Runs that ended in the time from the first request to the last end."""
    began = time.monotonic()
    got = _post(ours, "/async/noop", 64, seconds)
    _wait_empty(ours)
    return got["requests"] / (time.monotonic() - began)


def _wait_empty(ours: Ours) -> None:
    end = time.monotonic() + 600
    while _waiting(ours) > 0:
        if time.monotonic() > end:
            raise WrongAnswerError("runs still wait after ten minutes")
        time.sleep(0.02)


def _waiting(ours: Ours) -> int:
    connection = HTTPConnection("127.0.0.1", ours.port, timeout=30)
    connection.request("GET", "/api/v1/functions/noop", headers={"Authorization": f"Bearer {ours.key}"})
    answer = connection.getresponse()
    waiting = json.loads(answer.read())["waiting_runs"]
    connection.close()
    return int(waiting)


def _post(ours: Ours, path: str, clients: int, seconds: int) -> dict[str, float]:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(POST % ours.key)
        script.flush()
        url = f"http://127.0.0.1:{ours.port}{path}"
        command = ["wrk", f"-t{min(2, clients)}", f"-c{clients}", f"-d{seconds}s", "-s", script.name, url]
        done = subprocess.run(command, env=clean_env(), capture_output=True, text=True, timeout=120, check=True)
    got = json.loads(done.stdout[done.stdout.rindex("{") :])
    if got["bad"]:
        raise WrongAnswerError(f"{path}: {got}")
    return got


def _middle(runs: list[dict[str, float]]) -> dict[str, int]:
    return {name: round(statistics.median(run[name] for run in runs)) for name in runs[0]}


if __name__ == "__main__":
    sys.exit(main())
