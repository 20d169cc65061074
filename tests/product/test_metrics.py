"""What `/metrics` tells of functions, in the names of the OpenTelemetry conventions."""

from __future__ import annotations

import re
from pathlib import Path

from harness import Server, until, write_function

CODE = """
import time


def handler(event):
    if event.get("raise"):
        raise ValueError("no")
    time.sleep(event.get("sleep", 0))
    return bytes(event.get("reply", 0)) or "done"
"""


def samples(server: Server) -> dict[str, float]:
    """Every sample by its name and labels."""
    text = server.http.get("/metrics").expect(200).body.decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_each_call_is_counted_where_it_belongs(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, CODE, timeout="1s", scaling={"max": 1}))
    server.api.call(name).expect(200)
    server.api.call(name).expect(200)
    server.api.call(name, {"raise": True}).expect(502)
    server.api.call(name, {"sleep": 9}).expect(504)

    def of_mine() -> dict[str, float]:
        return {key.replace(f'function="{name}"', ""): value for key, value in samples(server).items() if name in key}

    until(lambda: of_mine()["faas_in_flight{}"] == 0, "the last call is counted")
    mine = of_mine()
    assert mine["faas_invocations_total{}"] == 2
    assert mine["faas_coldstarts_total{}"] == 1
    assert mine["faas_timeouts_total{}"] == 1
    assert mine['faas_errors_total{,code="FN_004"}'] == 1
    assert mine['faas_errors_total{,code="FN_002"}'] == 1
    assert mine["faas_invoke_duration_seconds_count{}"] == 4
    assert mine["faas_init_duration_seconds_count{}"] == 1
    assert 1.0 <= mine["faas_invoke_duration_seconds_sum{}"] < 10.0
    bounds = [float(b) for b in re.findall(r'invoke_duration_seconds_bucket{,le="([0-9.e-]+)"}', "\n".join(mine))]
    assert bounds == sorted(bounds) and (bounds[0], bounds[-1]) == (0.00005, 900.0)


def test_names_of_functions_are_bounded(tmp_path: Path) -> None:
    with Server(env={"FAAS_METRICS_FUNCTIONS_MAX": "1"}) as server:
        for function in ("first", "second", "third"):
            server.deploy(write_function(tmp_path, function, CODE))
            server.api.call(function).expect(200)
        told = until(lambda: samples(server), "metrics")
        assert told['faas_invocations_total{function="first"}'] == 1
        assert told['faas_invocations_total{function="_other"}'] == 2
        assert not [key for key in told if '"second"' in key or '"third"' in key]


def test_each_table_in_memory_follows_the_registry(server: Server) -> None:
    told = samples(server)
    for collection in ("functions", "keys", "triggers", "stage_vars", "secrets"):
        assert told[f'faas_registry_stale_seconds{{collection="{collection}"}}'] == 0
        for counter in ("reloads", "failures"):
            assert told[f'faas_registry_{counter}_total{{collection="{collection}"}}'] == 0
