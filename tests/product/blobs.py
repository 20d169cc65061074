"""Deployments without the command line, as a stranger's program makes them."""

from __future__ import annotations

from typing import Any

from blake3 import blake3
from harness import Reply, Server


def file_body(path: str, content: bytes) -> dict[str, Any]:
    """One file of a bundle as the API takes it."""
    return {"path": path, "digest": blake3(content).hexdigest(), "size": len(content)}


def upload(server: Server, files: dict[str, str]) -> list[dict[str, Any]]:
    """Uploads files and returns the listing of a bundle with them."""
    bodies = []
    for path, text in files.items():
        body = file_body(path, text.encode())
        server.http.request("PUT", f"/api/v1/blobs/{body['digest']}", text).expect(204)
        bodies.append(body)
    return bodies


def deploy_raw(server: Server, name: str, files: dict[str, str], **manifest: Any) -> Reply:
    """Deploys one function."""
    body = {"manifest": {"name": name} | manifest, "files": upload(server, files)}
    return server.http.post(f"/api/v1/functions/{name}/deploy", body, timeout=120)
