"""What CPython, ASGI, AWS Lambda and Node promise to a function, seen through a whole server."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Server, until, write_function
from harness.index import PythonIndex, wheel
from harness.paths import EXAMPLES

PACKAGES = Path(sysconfig.get_paths()["purelib"])

LAST_PYTHON = """
import os, time

def handler(event, context):
    print("unfinished", end="", flush=event == "raw")
    if event == "flushed":
        print(" line", end="", flush=True)
    if event == "raw":
        os.write(1, b" by the system")
    if event == "memory":
        print(" before memory", flush=True)
        held = []
        while True:
            held.append(bytearray(8 << 20))
    if event == "exit":
        print(" before exit")
        os._exit(3)
    time.sleep(60)
"""
LAST_NODE = """
import { writeSync } from "node:fs";

export async function handler(event) {
  process.stdout.write("unfinished");
  if (event === "flushed") process.stdout.write(" line");
  if (event === "raw") writeSync(1, " by the system");
  if (event === "memory") {
    console.log(" before memory");
    const held = [];
    for (;;) held.push(Buffer.alloc(8 << 20, 1));
  }
  if (event === "exit") {
    console.log(" before exit");
    process.abort();
  }
  await new Promise(() => setTimeout(() => {}, 60_000));
}
"""
LAST_WORDS = {
    "flushed": (504, "unfinished line"),
    "held": (504, "unfinished"),
    "raw": (504, "unfinished by the system"),
    "exit": (502, "unfinished before exit"),
    "memory": (502, "unfinished before memory"),
}


def lines_of(server: Server, run_id: str) -> list[str]:
    """The messages of a run's log so far. A run is listed once it has ended, which may be after its answer."""
    reply = server.http.get(f"/api/v1/runs/{run_id}/logs")
    return [] if reply.status == 404 else [line["message"] for line in reply.expect(200).json()["items"]]


def has_line(server: Server, run_id: str, wanted: str) -> None:
    """Waits until the log of a run has this line."""
    until(lambda: wanted in lines_of(server, run_id), f"{wanted!r} is in the log of {run_id}")


@pytest.mark.parametrize("language", ["python", "node"])
def test_last_words_are_kept(shared_server: Server, tmp_path: Path, name: str, language: str) -> None:
    code = LAST_PYTHON if language == "python" else {"index.mjs": LAST_NODE}
    shared_server.deploy(write_function(tmp_path, name, code, runtime=language, timeout="1s"))
    for event, (status, wanted) in LAST_WORDS.items():
        reply = shared_server.http.post(f"/fn/{name}", event)
        assert reply.status == status, (event, reply.body)
        has_line(shared_server, reply.headers["x-run-id"], wanted)


FASTAPI = """
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import JSONResponse

app = FastAPI()

@app.exception_handler(Exception)
async def any_error(request, error):
    return JSONResponse({"error": "custom"}, status_code=500)

@app.get("/boom")
def boom():
    raise RuntimeError("detail for the log only")

def fails():
    raise RuntimeError("after the answer")

@app.get("/later")
def later(tasks: BackgroundTasks):
    tasks.add_task(fails)
    return {"said": "before"}
"""


def test_a_complete_response_counts_and_its_exception_is_logged(
    shared_server: Server, tmp_path: Path, name: str
) -> None:
    example = EXAMPLES / "fastapi"
    assert (example / "vendor/fastapi").is_dir(), "run examples/fastapi/vendor.sh first (make test does)"
    folder = tmp_path / name
    shutil.copytree(example, folder)
    (folder / "main.py").write_text(FASTAPI, encoding="utf-8")
    manifest = (folder / "faas.toml").read_text(encoding="utf-8")
    (folder / "faas.toml").write_text(manifest.replace('"fastapi"', f'"{name}"', 1), encoding="utf-8")
    shared_server.deploy(folder)
    boom = shared_server.http.get(f"/fn/{name}/boom").expect(500)
    assert boom.json() == {"error": "custom"}
    has_line(shared_server, boom.headers["x-run-id"], "RuntimeError: detail for the log only")
    later = shared_server.http.get(f"/fn/{name}/later").expect(200)
    assert later.json() == {"said": "before"}
    has_line(shared_server, later.headers["x-run-id"], "RuntimeError: after the answer")


WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"ok from " + environ["PATH_INFO"].encode()]
"""


@pytest.fixture(scope="module")
def package_server() -> Iterator[Server]:
    """A server whose index has the package that the hint names, and another."""
    files = {f"a2wsgi/{path.name}": path.read_bytes() for path in (PACKAGES / "a2wsgi").glob("*.py")}
    with PythonIndex() as index:
        index.add(wheel("a2wsgi", "1.10.10", files))
        index.add(wheel("greeting", "1.0", {"greeting.py": "WORD = 'hello'\n"}))
        with Server(env={"FAAS_BUILD_INDEXES_PYPI": index.url}) as server:
            yield server


def test_the_hint_for_wsgi_leads_to_an_answer(package_server: Server, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "wsgi", WSGI, entrypoint="main:app")
    refused = package_server.cli("deploy", str(folder))
    hint = refused.stderr + refused.stdout
    assert refused.code != 0 and "add a2wsgi to requirements.txt" in hint
    statements = [part for part in hint.split("`") if "a2wsgi" in part and ("import" in part or "=" in part)]
    assert len(statements) >= 2, hint
    with (folder / "main.py").open("a", encoding="utf-8") as file:
        file.write("\n" + "\n".join(statements[:2]) + "\n")
    (folder / "requirements.txt").write_text("a2wsgi\n", encoding="utf-8")
    package_server.deploy(folder)
    reply = package_server.http.get("/fn/wsgi/where").expect(200)
    assert reply.body.endswith(b"/where") and reply.body.startswith(b"ok from ")


POWERTOOLS = """
from aws_lambda_powertools import Logger

logger = Logger(service="shop")

@logger.inject_lambda_context
def handler(event, context):
    logger.info("sold")
    return {"arn": context.invoked_function_arn}
"""


def test_powertools_finds_the_context_of_lambda(shared_server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, POWERTOOLS, memory="256MB")
    for package in ("aws_lambda_powertools", "jmespath"):
        shutil.copytree(PACKAGES / package, folder / "vendor" / package)
    shutil.copy(PACKAGES / "typing_extensions.py", folder / "vendor")
    shared_server.deploy(folder)
    reply = shared_server.http.post(f"/fn/{name}", {"n": 1}).expect(200)
    assert f"function:{name}:1" in reply.json()["arn"]
    run_id = reply.headers["x-run-id"]
    lines = until(lambda: [m for m in lines_of(shared_server, run_id) if '"sold"' in m], "the line of powertools")
    assert f'"function_request_id":"{run_id}"' in lines[0]


ATTEMPTS = """
import json

def handler(event, context):
    seen = [context.attempt, context.request.headers["x-faas-attempt"]]
    if context.attempt < 3:
        raise ValueError(json.dumps(seen))
    return seen
"""


def test_a_function_knows_its_attempt(shared_server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, ATTEMPTS)
    with (folder / "faas.toml").open("a", encoding="utf-8") as file:
        file.write('\n[background.retry]\nmax_attempts = 3\nbackoff = "10ms"\n')
    shared_server.deploy(folder)
    forged = {"X-Faas-Attempt": "7"}
    accepted = shared_server.http.post(f"/async/{name}", {"n": 1}, headers=forged).expect(202).json()
    run = shared_server.http.get(f"/api/v1/runs/{accepted['run_id']}?wait=30s").expect(200).json()
    assert run["result"] == [3, "3"], run
    assert [attempt["message"] for attempt in run["attempts"][:2]] == ['ValueError: [1, "1"]', 'ValueError: [2, "2"]']


def test_a_doubtful_signature_is_told_at_deployment(shared_server: Server, tmp_path: Path, name: str) -> None:
    code = "def handler(question, context):\n    return question + context\n"
    shared_server.deploy(write_function(tmp_path, name, code))
    log = shared_server.cli("fn", "build-log", name).ok().stdout
    assert "is taken for a plain function" in log and "`question`, `context`" in log
    reply = shared_server.http.post(f"/fn/{name}", {"question": "q", "context": "c"}).expect(200)
    assert reply.json() == {"result": "qc"}


CHILDREN = """
import subprocess, sys

def handler(event):
    found = {}
    for program in (sys.executable, "python3", "python"):
        command = [program, "-c", "import greeting; print(greeting.WORD)"]
        child = subprocess.run(command, capture_output=True, text=True, cwd="/tmp")
        found[program.rpartition("/")[2]] = child.stdout.strip() or child.stderr
    return found
"""


def test_child_interpreters_find_the_packages(package_server: Server, tmp_path: Path) -> None:
    files = {"main.py": CHILDREN, "requirements.txt": "greeting\n"}
    package_server.deploy(write_function(tmp_path, "children", files))
    found = package_server.http.post("/fn/children", {"n": 1}).expect(200).json()
    assert len(found) == 3 and set(found.values()) == {"hello"}, found
