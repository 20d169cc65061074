"""Functions that nobody calls cost next to nothing. The full figure, with ten thousand, is `bench/many.py`'s."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from blake3 import blake3
from harness import Server, until

from .metrics import families, sample

CODE = b"def handler():\n    return 1\n"
FEW, MANY = 60, 260
# Far above what a function takes (about 3 KB), far below what a pool or an instance would.
MOST_PER_FUNCTION = 32 << 10


def deploy(server: Server, number: int) -> None:
    """One function, of files that the server has already."""
    name = f"many-{number:05}"
    file = {"path": "main.py", "digest": blake3(CODE).hexdigest(), "size": len(CODE)}
    body = {"manifest": {"name": name, "runtime": "python"}, "files": [file]}
    server.http.post(f"/api/v1/functions/{name}/deploy", body, timeout=120).expect(201)


def resident(server: Server) -> int:
    """Bytes of memory that the server holds."""
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * 4096


def names(server: Server) -> list[str]:
    """Every function, page by page."""
    found: list[str] = []
    query = "?limit=200"
    while True:
        page = server.http.get(f"/api/v1/functions{query}").expect(200).json()
        found += [function["name"] for function in page["items"]]
        if not page.get("next_cursor"):
            return found
        query = f"?limit=200&cursor={page['next_cursor']}"


def test_functions_at_rest_cost_a_few_kilobytes_and_no_pool() -> None:
    with Server() as server, ThreadPoolExecutor(4) as pool:
        headers = {"Content-Type": "application/octet-stream"}
        server.http.request("PUT", f"/api/v1/blobs/{blake3(CODE).hexdigest()}", CODE, headers=headers).expect(204)
        list(pool.map(lambda number: deploy(server, number), range(FEW)))
        server.stop()
        server.start()
        few = resident(server)
        list(pool.map(lambda number: deploy(server, number), range(FEW, MANY)))
        server.stop()
        server.start()
        assert (resident(server) - few) / (MANY - FEW) < MOST_PER_FUNCTION
        assert names(server) == [f"many-{number:05}" for number in range(MANY)]
        assert sample(server, "faas_instances") == 0
        assert families(server, "faas_function_instances") == []
        server.api.call("many-00007").expect(200)
        assert len(families(server, "faas_function_instances")) == 3, "only who is awake is counted"


def test_a_function_scales_to_nothing() -> None:
    with Server(args=["--idle", "1s"]) as server:
        headers = {"Content-Type": "application/octet-stream"}
        server.http.request("PUT", f"/api/v1/blobs/{blake3(CODE).hexdigest()}", CODE, headers=headers).expect(204)
        deploy(server, 1)
        server.api.call("many-00001").expect(200)
        until(lambda: sample(server, "faas_instances") == 0, "its instance is gone")
        until(lambda: families(server, "faas_function_instances") == [], "its pool is gone too")
        assert sample(server, "faas_instance_stops_total", reason="idle") == 1
