"""What a deployment shows: changes before it, its steps, its log; and what it sends."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Server, free_port, until, write_function

from product.functions import ADD

FILES = 500
GOOD = "def handler():\n    return 'old'\n"


def compared(stdout: str) -> dict[str, Any]:
    """What the command line says of the upload and the changes, among the events that it prints."""
    events = [json.loads(line)["data"] for line in stdout.splitlines()]
    return next(data for data in events if data.get("step") == "compared")


def test_one_changed_line_of_500_files_uploads_one_blob(server: Server, tmp_path: Path, name: str) -> None:
    files = {f"lib/part_{n // 50}/mod_{n}.py": f"VALUE = {n}\nNAME = '{name}-{n}'\n" for n in range(FILES - 1)}
    folder = write_function(tmp_path, name, {"main.py": GOOD} | files)
    first = server.deploy(folder)
    assert first["upload"]["files"] == FILES + 1, "with the manifest"
    changed = folder / "lib/part_3/mod_170.py"
    changed.write_text(changed.read_text(encoding="utf-8").replace("VALUE = 170", "VALUE = 171"), encoding="utf-8")
    blobs = server.data / "blobs"
    before = sum(1 for path in blobs.rglob("*") if path.is_file())
    result = server.cli("deploy", folder, "-o", "ndjson", timeout=180).ok()
    upload = compared(result.stdout)["upload"]
    assert (upload["blobs_uploaded"], upload["files_uploaded"], upload["files_present"]) == (1, 1, FILES)
    assert "~ lib/part_3/mod_170.py" in result.stderr
    assert f"{FILES + 1} files, 1 new ({changed.stat().st_size} B of" in result.stderr
    assert f"{FILES} already there; 1 changed, 0 added, 0 removed since version 1" in result.stderr
    # Beside that one, the server keeps the new list of files.
    assert sum(1 for path in blobs.rglob("*") if path.is_file()) - before == 2


def test_changes_and_lines_are_shown_before_anything_is_sent(server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, {"main.py": GOOD, "gone.txt": "x", "data.bin": "a"})
    server.deploy(folder)
    (folder / "gone.txt").unlink()
    (folder / "main.py").write_text(GOOD.replace("old", "new"), encoding="utf-8")
    (folder / "data.bin").write_bytes(b"\0\1")
    (folder / "added.txt").write_text("y" * 2_000, encoding="utf-8")
    result = server.cli("deploy", folder, "--dry-run", "--diff", "-o", "json").ok()
    changes = result.json()["changes"]
    assert changes["since"] == 1
    assert [one["path"] for one in changes["added"]] == ["added.txt"]
    assert [one["path"] for one in changes["changed"]] == ["data.bin", "main.py"]
    assert changes["removed"] == [{"path": "gone.txt", "bytes": 1}]
    assert "-    return 'old'\n+    return 'new'\n" in result.json()["diff"]
    assert "binary files differ: data.bin" in result.json()["diff"]
    for line in ("~ main.py (", "+ added.txt (2.0 KB)", "- gone.txt (1 B)", "+    return 'new'"):
        assert line in result.stderr
    assert server.api.function(name)["version"] == 1, "nothing was deployed"
    assert server.api.invoke(name).expect(200).json() == {"result": "old"}


def test_steps_are_events_for_programs(server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, GOOD)
    lines = server.cli("deploy", folder, "-o", "ndjson").ok().stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert all(set(event) == {"id", "type", "at", "data"} for event in events)
    steps = [event["data"]["step"] for event in events if event["type"] == "step"]
    assert steps == ["reading", "compared", "uploading", "loading"]
    states = [event["data"]["state"] for event in events if event["type"] == "state"]
    assert states == ["queued", "building", "checking"]
    deployed = events[-1]["data"]
    assert (events[-1]["type"], deployed["function"], deployed["version"]) == ("end", name, 1)
    kept = server.http.get(f"/api/v1/deployments/{deployed['id']}").expect(200).json()
    assert kept == deployed, "the deployment is the same wherever it is shown"


def test_what_it_writes_while_it_loads_is_kept(server: Server, tmp_path: Path, name: str) -> None:
    code = "import sys\nprint('reading the model')\nprint('no cache', file=sys.stderr)\n" + GOOD
    result = server.cli("deploy", write_function(tmp_path / "a", name, code)).ok()
    assert "  | reading the model" in result.stderr
    server.deploy(write_function(tmp_path / "b", name, GOOD))
    kept = server.cli("fn", "build-log", name, "1", "-o", "json").ok().json()
    assert {line["message"] for line in kept["lines"]} == {"reading the model", "no cache"}
    assert server.cli("fn", "build-log", name).ok().stdout == "", "the second version wrote nothing"
    server.cli("fn", "build-log", name, "7").exits(4)
    flood = "for n in range(5_000):\n    print('line', n)\n" + GOOD
    server.deploy(write_function(tmp_path / "c", name, flood))
    kept = server.http.get(f"/api/v1/functions/{name}/versions/3/log").expect(200).json()
    assert len(kept["lines"]) <= 500
    assert len(json.dumps(kept)) < 256 << 10


def test_the_files_of_a_version_need_a_key_that_may_read(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, GOOD))
    base = f"/api/v1/functions/{name}/versions"
    listed = server.http.get(f"{base}/1/files").expect(200).json()
    assert [file["path"] for file in listed["items"]] == ["faas.toml", "main.py"]
    assert server.http.get(f"{base}/live/file?path=main.py").expect(200).body.decode() == GOOD
    for path in ("../main.py", "other.py", ""):
        server.http.get(f"{base}/1/file?path={path}").expect(404)
    for version in ("2", "0", "-1", "x", "99999999999"):
        server.http.get(f"{base}/{version}/files").expect(404)
    caller = server.api.create_key("caller", ["invoke"])["key"]
    server.http.get(f"{base}/1/files", key=caller).expect(403)
    server.http.get(f"{base}/1/file?path=main.py", key=None).expect(401)


class CutLine:
    """Passes connections on to a server, and cuts one after so many bytes towards it, so many times or for good."""

    def __init__(self, target: int, cuts: int, after: int, *, for_good: bool = False) -> None:
        self.target, self.cuts, self.after, self.for_good = target, cuts, after, for_good
        self.passed, self.lock = 0, threading.Lock()
        self.port = free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        try:
            while chunk := source.recv(16 << 10):
                if counted and self._is_over(len(chunk)):
                    break
                sink.sendall(chunk)
        except OSError:
            pass
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _is_over(self, length: int) -> bool:
        with self.lock:
            self.passed += length
            if self.cuts == 0 or self.passed < self.after:
                return False
            if self.for_good:
                self.close()
                return True
            self.cuts, self.passed = self.cuts - 1, 0
            return True


@pytest.fixture
def line(server: Server) -> Iterator[CutLine]:
    line = CutLine(server.port, cuts=3, after=600_000)
    yield line
    line.close()


def test_a_cut_line_costs_only_what_was_under_way(server: Server, line: CutLine, tmp_path: Path, name: str) -> None:
    files = {f"data_{n}.txt": f"{name}-{n}-" + "x" * 150_000 for n in range(20)}
    folder = write_function(tmp_path, name, {"main.py": f"# {name}\n{GOOD}"} | files)
    through = server.cli_with(FAAS_ENDPOINT=f"http://127.0.0.1:{line.port}", FAAS_API_KEY=server.key)
    result = through("deploy", folder, "-o", "ndjson").ok()
    assert line.cuts == 0, "the line was cut as often as it should be"
    assert "the line was cut" in result.stderr
    assert compared(result.stdout)["upload"]["files_uploaded"] == 22
    assert server.api.invoke(name).expect(200).json() == {"result": "old"}


def test_a_second_try_goes_on_where_the_first_ended(server: Server, tmp_path: Path, name: str) -> None:
    files = {f"data_{n}.txt": f"{name}-{n}-" + "y" * 150_000 for n in range(20)}
    folder = write_function(tmp_path, name, {"main.py": GOOD} | files)
    broken = CutLine(server.port, cuts=1, after=1_700_000, for_good=True)
    through = server.cli_with(FAAS_ENDPOINT=f"http://127.0.0.1:{broken.port}", FAAS_API_KEY=server.key)
    through("deploy", folder, timeout=60).exits(9)
    server.http.get(f"/api/v1/functions/{name}").expect(404)
    upload = server.deploy(folder)["upload"]
    assert 0 < upload["files_present"] < 22, upload


def test_a_large_function_says_what_is_heavy(server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, ADD)
    (folder / "node_modules").mkdir()
    with (folder / "node_modules" / "big.bin").open("wb") as big:
        big.truncate(60 << 20)
    result = server.cli("validate", folder).ok()
    assert "reading 3 files, 60.0 MB" in result.stderr
    assert "node_modules is 99 % of it: 1 file, 60.0 MB" in result.stderr


def test_many_changes_are_cut_and_counted(server: Server, tmp_path: Path, name: str) -> None:
    """A line of events has a bound, whatever the function has."""
    files = {"main.py": ADD} | {f"data/{number:04}.txt": str(number) for number in range(300)}
    folder = write_function(tmp_path, name, files)
    for words in (["--dry-run"], []):
        result = server.cli("deploy", folder, "-o", "ndjson", *words).ok()
        lines = result.stdout.splitlines()
        assert all(len(line) < 40_000 for line in lines)
        last = json.loads(lines[-1]) if words else compared(result.stdout)
        assert last["changes"]["counts"] == {"added": 302, "changed": 0, "removed": 0}
        assert len(last["changes"]["added"]) == 100
    again = server.cli("deploy", folder, "-o", "ndjson", "--dry-run").ok()
    assert json.loads(again.stdout.splitlines()[-1])["new_count"] == 0


def test_a_deployment_that_is_given_up_says_what_serves(server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, ADD)
    server.deploy(folder)
    given_up = subprocess.Popen(
        [str(server.program), "deploy", "-", "--name", name],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=server.cli.env,
    )
    until(lambda: listens(given_up.pid), "it listens")
    given_up.send_signal(signal.SIGINT)
    assert given_up.wait(20) == 130
    assert given_up.stderr is not None
    assert given_up.stderr.read() == b"interrupted: nothing was changed\n"
    (folder / "main.py").write_text("import time\n\ntime.sleep(20)\n\n\ndef handler():\n    return 2\n", "utf-8")
    words = [str(server.program), "deploy", str(folder)]
    asked = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=server.cli.env)
    assert asked.stderr is not None
    for line in asked.stderr:
        if "loading the entrypoint" in line:
            break
    asked.send_signal(signal.SIGINT)
    assert asked.wait(20) == 130
    assert re.search(r"interrupted: dep_\w+ is cancelled, nothing was changed", asked.stderr.read())
    assert server.api.invoke(name, {"x": 2, "y": 5}).expect(200).json() == {"result": 7}


def listens(pid: int) -> bool:
    """Whether a process does something of its own about SIGINT."""
    status = Path(f"/proc/{pid}/status").read_text()
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (signal.SIGINT - 1) & 1)
