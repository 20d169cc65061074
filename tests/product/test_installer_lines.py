"""What an installer writes: told while it runs, never at its cost, and kept with the version."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import CliResult, Server, until, write_function
from harness.index import PythonIndex, sdist, wheel

from product.blobs import upload

HANDLER = "import greeting\n\nprint('on import')\n\n\ndef handler():\n    return greeting.hello()\n"
# Takes a while, so that others have to wait and lines have to come before the end.
SLOW = """
import base64, hashlib, time, zipfile

def get_requires_for_build_wheel(c=None):
    return []

def build_wheel(directory, c=None, m=None):
    time.sleep(4)
    name = "slow-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as whl:
        whl.writestr("slow.py", "")
        whl.writestr("slow-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: slow\\nVersion: 1.0\\n")
        whl.writestr("slow-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        whl.writestr("slow-1.0.dist-info/RECORD", "")
    return name
"""


@pytest.fixture(scope="module")
def house() -> Iterator[Server]:
    """A server that builds one thing at a time, from an index of its own."""
    with PythonIndex() as index:
        index.add(wheel("greeting", "1.0", {"greeting.py": "def hello():\n    return 'hello'\n"}))
        index.add(sdist("slow", "1.0", SLOW))
        with Server(env={"FAAS_BUILD_INDEXES_PYPI": index.url, "FAAS_BUILD_AT_ONCE": "1"}) as server:
            yield server


def bring(folder: Path, name: str, requirements: str, code: str = HANDLER) -> Path:
    """A function with a `requirements.txt`."""
    return write_function(folder, name, {"main.py": code, "requirements.txt": requirements})


def events(server: Server, name: str, requirements: str, code: str) -> Iterator[tuple[float, str, dict[str, Any]]]:
    """A deployment's events with the moment that each came at."""
    body = {"manifest": {"name": name}, "files": upload(server, {"main.py": code, "requirements.txt": requirements})}
    begun = server.http.post(f"/api/v1/functions/{name}/deployments", body).expect(202)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    headers = {"Authorization": f"Bearer {server.key}", "Accept": "application/x-ndjson"}
    connection.request("GET", begun.headers["location"] + "/events", headers=headers)
    reply = connection.getresponse()
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/x-ndjson")
    for line in reply:
        event = json.loads(line)
        yield time.monotonic(), event["type"], event["data"]
    connection.close()


def test_lines_are_shown_and_kept(house: Server, tmp_path: Path) -> None:
    first = house.cli("deploy", bring(tmp_path, "first", "greeting==1.0\n"), "-o", "json", timeout=180).ok()
    deployed = first.json()
    assert "installing the packages of requirements.txt" in first.stderr
    told = [line.removeprefix("  | ") for line in first.stderr.splitlines() if line.startswith("  | ")]
    assert any(line.startswith("Collecting greeting==1.0") for line in told)
    assert told.count("on import") == 1
    layer = deployed["dependencies"]["layer"]
    log = house.cli("fn", "build-log", "first", "-o", "json").ok().json()["lines"]
    installer = [line["message"] for line in log if line["stream"] == "platform"]
    assert installer == house.http.get(f"/api/v1/package-layers/{layer}").expect(200).json()["log"]
    assert [line for line in told if line != "on import"] == installer, "what was shown is what is kept"
    assert [line["message"] for line in log if line["stream"] != "platform"] == ["on import"]
    shown = house.cli("layers", "get", layer).ok().stdout
    assert f"  | {installer[0]}\n" in shown
    second = house.cli("deploy", bring(tmp_path, "second", "greeting==1.0\n")).ok()
    assert f"packages are there: layer {layer}, built " in second.stderr
    lines = house.cli("fn", "build-log", "second").ok().stdout.splitlines()
    assert lines[0].startswith(f"packages of requirements.txt: layer {layer}, built 20")
    assert lines[1:] == ["on import"]


def test_lines_come_while_the_installer_runs(house: Server) -> None:
    came = list(events(house, "live", "slow==1.0\n# live\n", "def handler():\n    return 1\n"))
    steps = [data["step"] for _, kind, data in came if kind == "step"]
    assert steps[0] == "installing" and steps[-1] == "loading"
    assert [kind for _, kind, _ in came][-1] == "end"
    assert came[-1][2]["version"] == 1
    first = next(at for at, kind, _ in came if kind == "log")
    assert came[-1][0] - first > 3, "the first line came long before the end"


def test_a_failure_is_the_last_event(house: Server) -> None:
    came = list(events(house, "failing", "no-such-thing==1.0\n", "def handler():\n    return 1\n"))
    _, kind, problem = came[-1]
    assert (kind, problem["code"], problem["status"]) == ("error", "FN_005", 422)
    assert problem["request_id"]
    assert any("no-such-thing" in data["message"] for _, kind, data in came if kind == "log")
    house.http.get("/api/v1/functions/failing").expect(404)


def test_who_waits_is_told_for_what(house: Server, tmp_path: Path) -> None:
    results: dict[str, CliResult] = {}

    def deploy(name: str, requirements: str) -> threading.Thread:
        # Other words in the file are another layer.
        folder = bring(tmp_path, name, requirements, "def handler():\n    return 1\n")
        thread = threading.Thread(target=lambda: results.update({name: house.cli("deploy", folder, timeout=180)}))
        thread.start()
        return thread

    begun = "packages are being installed"
    before = house.log().count(begun)
    threads = [deploy("holder", "slow==1.0\ngreeting==1.0\n")]
    until(lambda: house.log().count(begun) > before, "the build is under way", within=30)
    threads += [deploy("same", "slow==1.0\ngreeting==1.0\n"), deploy("other", "greeting>=1.0\n")]
    for thread in threads:
        thread.join()
    for name, words in (
        ("holder", "installing the packages"),
        ("same", "waiting: another deployment installs the same packages"),
        ("other", "waiting: other packages are being installed"),
    ):
        assert words in results[name].ok().stderr
    assert "packages are there" in results["same"].stderr


def test_a_reader_that_does_not_read_holds_up_nothing(house: Server) -> None:
    files = upload(house, {"main.py": "def handler():\n    return 1\n", "requirements.txt": "slow>=1.0\n"})
    begun = house.http.post("/api/v1/functions/deaf/deployments", {"manifest": {"name": "deaf"}, "files": files})
    path = begun.expect(202).headers["location"] + "/events"
    with socket.create_connection(("127.0.0.1", house.port)) as deaf:
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {house.key}\r\n"
        deaf.sendall(f"{head}Accept: text/event-stream\r\n\r\n".encode())
    until(lambda: house.http.get("/api/v1/functions/deaf").status == 200, "it is deployed all the same", within=60)


def test_programs_get_events_and_one_document(house: Server, tmp_path: Path) -> None:
    folder = bring(tmp_path, "programs", "greeting>=1\n")
    result = house.cli("deploy", folder, "-o", "ndjson", timeout=180).ok()
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    steps = [row["data"]["step"] for row in rows if row["type"] == "step"]
    assert "installing" in steps and any(row["type"] == "log" for row in rows)
    assert rows[-1]["type"] == "end"
