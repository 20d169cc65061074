"""What a function imports beside what it declares; a language model and a package index are played on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from harness import Server

SECRET = "sk-planted-2f8a1c"
CODE = f"""
import frobnicate_core
import nowhere_to_be_found
import yaml

TOKEN = "{SECRET}"


def handler(event, context):
    return frobnicate_core, nowhere_to_be_found, yaml
"""


@dataclass
class Model:
    """Speaks the protocol of chat completions, and is a package index as well."""

    answer: str
    packages: set[str]
    status: int = 200
    asked: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    def env(self) -> dict[str, str]:
        """What makes the command ask here."""
        there = f"http://127.0.0.1:{self.port}"
        return {
            "FAAS_LLM_ENDPOINT": f"{there}/v1",
            "FAAS_LLM_MODEL": "played",
            "FAAS_LLM_KEY": "key-of-the-model",
            "PIP_INDEX_URL": f"{there}/simple/",
        }


@contextmanager
def played(model: Model) -> Iterator[Model]:
    class Handler(BaseHTTPRequestHandler):
        """One request."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            model.asked.append(({name.lower(): value for name, value in self.headers.items()}, body))
            found = self.path == "/v1/chat/completions"
            content = {"choices": [{"message": {"role": "assistant", "content": model.answer}}]}
            self._reply(model.status if found else 404, json.dumps(content).encode())

        def do_GET(self) -> None:
            name = self.path.removeprefix("/simple/").rstrip("/")
            self._reply(200 if name in model.packages else 404, b"")

        def _reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    model.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def project(root: Path) -> Path:
    (root / "faas.toml").write_text('name = "deps"\nruntime = "python"\nentrypoint = "main:handler"\n', "utf-8")
    (root / "main.py").write_text(CODE, "utf-8")
    return root


def test_a_model_is_asked_for_names_only_and_believed_when_the_index_agrees(server: Server, tmp_path: Path) -> None:
    answer = 'Here: {"frobnicate_core": "Frob.Core", "nowhere_to_be_found": "made-up"}'
    with played(Model(answer, {"frob-core"})) as model:
        told = server.cli("deps", "--ask", "--fix", cwd=project(tmp_path), env=model.env()).ok()
    assert "frobnicate_core: Frob.Core is proposed, and the index has it" in told.stderr
    assert "nowhere_to_be_found: made-up was proposed, which the index does not have" in told.stderr
    declared = (tmp_path / "requirements.txt").read_text("utf-8").split()
    assert declared == ["Frob.Core", "PyYAML", "nowhere-to-be-found"]
    headers, question = model.asked[0]
    assert headers["authorization"] == "Bearer key-of-the-model"
    assert json.loads(json.loads(question)["messages"][1]["content"]) == ["frobnicate_core", "nowhere_to_be_found"]
    assert SECRET.encode() not in question
    assert b"handler" not in question


def test_nobody_is_asked_without_the_wish(server: Server, tmp_path: Path) -> None:
    with played(Model("{}", set())) as model:
        server.cli("deps", cwd=project(tmp_path), env=model.env()).ok()
        assert model.asked == []
    server.cli("deps", "--ask", cwd=tmp_path).exits(2)


def test_a_model_that_fails_changes_nothing(server: Server, tmp_path: Path) -> None:
    root = project(tmp_path)
    with played(Model("I would rather not.", set())) as model:
        assert "cannot be used" in server.cli("deps", "--ask", "--fix", cwd=root, env=model.env()).exits(1).stderr
        model.status = 401
        assert "401" in server.cli("deps", "--ask", "--fix", cwd=root, env=model.env()).exits(1).stderr
        gone = model.env()
    assert "cannot be reached" in server.cli("deps", "--ask", "--fix", cwd=root, env=gone).exits(9).stderr
    assert not (root / "requirements.txt").exists()
