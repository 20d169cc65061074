"""What nothing needs goes, and its room comes back; what is needed stays."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Server, until, write_function

BIG = 3 << 20


@pytest.fixture
def house() -> Iterator[Server]:
    """A server that keeps two versions of a function."""
    with Server(env={"FAAS_VERSIONS_KEPT": "2", "FAAS_GC_EVERY": "0s"}) as server:
        yield server


def age(server: Server, days: int = 3) -> None:
    """Makes all that is stored as old as if nobody had asked for it for days."""
    then = time.time() - days * 86_400
    for path in (server.data / "blobs").rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def room(server: Server) -> int:
    """Bytes of stored files and laid out trees; of the runtimes' own layers nothing is ever collected."""
    blobs = {path.parent.name + path.name: path for path in (server.data / "blobs").rglob("*") if path.is_file()}
    trees = [tree for tree in (server.data / "layers").iterdir() if tree.name in blobs]
    laid_out = sum(path.stat().st_size for tree in trees for path in tree.rglob("*") if path.is_file())
    return laid_out + sum(path.stat().st_size for path in blobs.values())


def code(number: int) -> dict[str, str]:
    """A function with a large file of its own."""
    return {
        "main.py": f"def handler():\n    return {number}\n",
        "big.txt": f"{number}" + chr(97 + number % 26) * BIG,
        "shared.txt": "s" * BIG,
    }


def test_the_room_comes_back(house: Server, tmp_path: Path) -> None:
    house.deploy(write_function(tmp_path, "stays", code(0)))
    empty = room(house)
    for number in range(1, 5):
        house.deploy(write_function(tmp_path, "goes", code(number)))
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "model.bin").write_bytes(os.urandom(BIG))
    house.cli("layers", "publish", "model", str(layer)).ok()
    full = room(house)
    assert full - empty > 4 * 2 * BIG
    young = house.cli("collect", "-o", "json").ok().json()
    assert young["blobs"] == 0 and room(house) == full, "within the grace all stays"

    house.cli("fn", "delete", "goes", "--yes").ok()
    house.cli("layers", "remove", "model", "--all", "--yes").ok()
    age(house)
    dry = house.cli("collect", "--dry-run", "-o", "json").ok().json()
    assert room(house) == full and dry["dry_run"] and dry["blobs"] > 8
    report = house.cli("collect", "-o", "json").ok().json()
    freed = report["blob_bytes"] + report["layer_bytes"]
    assert (report["blobs"], freed) == (dry["blobs"], dry["blob_bytes"] + dry["layer_bytes"])
    assert room(house) == empty, "all of it comes back"
    assert freed == full - empty
    metrics = house.http.get("/metrics").expect(200).body.decode()
    assert f"faas_gc_removed_bytes_total {freed}" in metrics
    assert "collected what nothing needs" in house.log_path.read_text()

    assert house.api.invoke("stays").expect(200).json() == {"result": 0}
    house.stop()
    house.start()
    assert house.api.invoke("stays").expect(200).json() == {"result": 0}
    again = house.cli("collect").ok()
    assert "freed" in again.stdout


def test_without_the_grace_the_room_comes_back_at_once(house: Server, tmp_path: Path) -> None:
    house.deploy(write_function(tmp_path, "stays", code(0)))
    empty = room(house)
    house.deploy(write_function(tmp_path, "goes", code(1)))
    assert house.api.invoke("goes").expect(200).json() == {"result": 1}
    assert room(house) - empty > 2 * BIG
    house.cli("fn", "delete", "goes", "--yes").ok()
    assert house.cli("collect", "-o", "json").ok().json()["blobs"] == 0, "the grace holds otherwise"
    # The last instance of what was deleted ends by itself; until then its tree stays.
    until(lambda: house.cli("gc", "--now").ok() and room(house) == empty, "all of it comes back", within=20)
    assert house.api.invoke("stays").expect(200).json() == {"result": 0}


def test_dropped_versions_go_and_kept_ones_can_be_laid_out_again(house: Server, tmp_path: Path) -> None:
    for number in range(1, 6):
        house.deploy(write_function(tmp_path, "many", code(number)))
    known = house.cli("fn", "versions", "many", "-o", "json").ok().json()["items"]
    age(house)
    house.cli("collect").ok()
    house.stop()
    # What was laid out is lost: the stored files must do.
    names = {path.parent.name + path.name for path in (house.data / "blobs").rglob("*") if path.is_file()}
    for tree in (house.data / "layers").iterdir():
        if tree.name in names:
            tree.rename(house.home / f"lost-{tree.name}")
    house.start()
    for version in known:
        number = version["number"]
        assert house.api.invoke(f"many:{number}").expect(200).json() == {"result": number}


def test_inputs_of_waiting_runs_stay(house: Server, tmp_path: Path) -> None:
    echo = "def handler(event, context):\n    return {'length': len(event['text'])}\n"
    house.deploy(write_function(tmp_path, "slow", echo))
    house.cli("fn", "pause", "slow").ok()
    run = house.http.post("/async/slow/", {"text": "x" * 200_000}).expect(202).json()["run_id"]
    age(house)
    house.cli("collect").ok()
    house.cli("fn", "resume", "slow").ok()
    assert house.api.finished(run)["state"] == "succeeded"


def test_only_an_admin_collects_and_one_at_a_time(house: Server) -> None:
    key = house.api.create_key("writer", ["functions:write"])["key"]
    house.http.post("/api/v1/system/gc", {}, headers={"authorization": f"Bearer {key}"}).expect(403)
    house.http.post("/api/v1/system/gc", {"surprise": 1}).expect(422)
