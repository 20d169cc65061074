"""SIGKILL all over collections, and deployments of the same files while collections run.

No deployment fails for what a collection took, and no version that is kept lacks anything.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from harness import Server, write_function

KILLS = 30 if os.environ.get("FAAS_LONG") else 8
SECONDS = 60 if os.environ.get("FAAS_LONG") else 20
SEED = 11
# Far above what a deployment of these tests takes, far below what the test does.
GRACE = 6.0


def sources(turn: int, round_: int) -> dict[str, str]:
    """Files of which most come again and again, in other versions and other functions."""
    files = {f"data/{turn * 7 % 5}-{n}.txt": f"{turn % 3} {n} " * 2_000 for n in range(20)}
    return files | {"main.py": f"def handler():\n    return {round_}\n"}


def stored(server: Server) -> set[str]:
    """The digests that are stored."""
    blobs = server.data / "blobs"
    return {
        path.parent.name + path.name for path in blobs.rglob("*") if path.is_file() and path.parent.name != ".draft"
    }


def check_whole(server: Server, name: str) -> int:
    """Every kept version of a function has all its files, and answers; returns how many there are."""
    versions = server.http.get(f"/api/v1/functions/{name}/versions").expect(200).json()["items"]
    there = stored(server)
    for version in versions:
        files = (
            server.http.get(f"/api/v1/functions/{name}/versions/{version['number']}/files?limit=200")
            .expect(200)
            .json()["items"]
        )
        lacking = [file["path"] for file in files if file["digest"] not in there]
        assert not lacking, f"{name} {version['number']} lacks {lacking}"
    return len(versions)


def collect(server: Server) -> dict[str, Any]:
    return server.http.post("/api/v1/system/gc", {}, timeout=60).expect(200).json()


def forget_layout(server: Server) -> None:
    """Takes away all trees that were laid out from stored files, which then must do."""
    there = stored(server)
    for tree in (server.data / "layers").iterdir():
        if tree.name in there:
            shutil.rmtree(tree)


def test_kills_during_collections_lose_nothing_needed(tmp_path: Path) -> None:
    draw = random.Random(SEED)
    env = {"FAAS_GC_GRACE": "1s", "FAAS_VERSIONS_KEPT": "2", "FAAS_GC_EVERY": "0s"}
    with Server(env=env) as server:
        server.deploy(write_function(tmp_path, "kept", sources(0, -1)))
        for turn in range(KILLS):
            for name in ("gone", "kept"):
                server.deploy(write_function(tmp_path / str(turn), name, sources(turn, turn)))
            server.cli("fn", "delete", "gone", "--yes").ok()
            time.sleep(1.1)
            asking = subprocess.Popen(
                [str(server.program), "collect"],
                env=server.cli.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(draw.uniform(0.01, 0.4))
            server.kill()
            asking.kill()
            asking.wait(10)
            server.start()
            assert check_whole(server, "kept") >= 2
            assert server.api.invoke("kept").expect(200).json() == {"result": turn}
        time.sleep(1.1)
        collect(server)
        server.stop()
        forget_layout(server)
        server.start()
        assert server.api.invoke("kept").expect(200).json() == {"result": KILLS - 1}
        # What kills left is collected in the end: the kept versions' files and lists, and what deployments wrote.
        time.sleep(1.1)
        report = collect(server)
        assert (report["blobs"], report["young"]) == (0, 0)


def test_deployments_of_the_same_files_meet_collections(tmp_path: Path) -> None:
    env = {"FAAS_GC_GRACE": f"{GRACE:g}s", "FAAS_VERSIONS_KEPT": "2", "FAAS_GC_EVERY": "0s"}
    with Server(env=env) as server:
        # The first deployment waits for the runtime to be sealed.
        server.deploy(write_function(tmp_path, "first", sources(0, 0)))
        end = time.monotonic() + SECONDS
        failed: list[str] = []
        deployed: list[float] = []

        def deploy(worker: int) -> None:
            for turn in range(10_000):
                if time.monotonic() > end:
                    return
                name = f"f{worker}"
                folder = write_function(tmp_path / f"{worker}-{turn}", name, sources(turn, turn))
                begun = time.monotonic()
                result = server.cli("deploy", str(folder))
                deployed.append(time.monotonic() - begun)
                if result.code != 0:
                    failed.append(result.stderr)
                if turn % 4 == 3:
                    server.cli("fn", "delete", name, "--yes")

        workers = [threading.Thread(target=deploy, args=(worker,), daemon=True) for worker in range(2)]
        for worker in workers:
            worker.start()
        collected, rounds = 0, 0
        while time.monotonic() < end:
            collected += collect(server)["blobs"]
            rounds += 1
            time.sleep(0.05)
        for worker in workers:
            worker.join(60)
        assert max(deployed) < GRACE, f"the machine is too slow for this test: {max(deployed):.1f} s"
        assert not failed, failed[0]
        assert collected > 0 and rounds > 10 and len(deployed) > 10, (collected, rounds, len(deployed))
        server.stop()
        forget_layout(server)
        server.start()
        for worker in range(2):
            folder = write_function(tmp_path / f"last-{worker}", f"f{worker}", sources(worker, 99))
            server.deploy(folder)
            check_whole(server, f"f{worker}")
            for version in server.http.get(f"/api/v1/functions/f{worker}/versions").json()["items"]:
                server.api.invoke(f"f{worker}:{version['number']}").expect(200)
