"""Indexes of packages for tests: they serve what a test made, on loopback, and remember what was asked of them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import threading
import zipfile
from abc import ABC, abstractmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import unquote


def wheel(
    name: str,
    version: str,
    files: dict[str, str | bytes],
    *,
    requires: list[str] | None = None,
) -> tuple[str, bytes]:
    """A wheel's file name and bytes, with these files and nothing checked."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {need}" for need in requires or []]
    members: dict[str, bytes] = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    members[f"{info}/METADATA"] = "\n".join([*metadata, "\n"]).encode()
    members[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{path},{_hash(data)},{len(data)}\n" for path, data in members.items())
    members[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in members.items():
            archive.writestr(path, data)
    return f"{name.replace('-', '_')}-{version}-py3-none-any.whl", buffer.getvalue()


def sdist(name: str, version: str, backend: str) -> tuple[str, bytes]:
    """A source distribution whose own build backend is this Python text, which runs while it is installed."""
    folder = f"{name}-{version}"
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {
        "pyproject.toml": project,
        "backend.py": backend,
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(f"{folder}/{path}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return f"{folder}.tar.gz", buffer.getvalue()


def _hash(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


class Index(ABC):
    """Serves pages on loopback. With a password it lets only that one in."""

    def __init__(self, password: str, path: str) -> None:
        self.requests: list[str] = []
        index = self
        wanted = "Basic " + base64.b64encode(f"ci:{password}".encode()).decode() if password else None

        class Door(BaseHTTPRequestHandler):
            """One connection."""

            def do_GET(self) -> None:
                index.requests.append(self.path)
                if wanted and self.headers.get("Authorization") != wanted:
                    self.answer(401, b"", "text/plain")
                    return
                page = index.page(self.path)
                status, body = (404, b"no such thing") if page is None else (200, page)
                self.answer(
                    status, body, "text/html" if self.path.startswith("/simple/") else "application/octet-stream"
                )

            def do_HEAD(self) -> None:
                self.do_GET()

            def answer(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                if status == 401:
                    self.send_header("WWW-Authenticate", 'Basic realm="packages"')
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.port = self.server.server_address[1]
        credentials = f"ci:{password}@" if password else ""
        self.url = f"http://{credentials}127.0.0.1:{self.port}{path}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nobody is there any more."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)

    @abstractmethod
    def page(self, path: str) -> bytes | None:
        """What is at a path."""


def installer(name: str) -> dict[str, str]:
    """What makes a server install with `pip` or `uv`."""
    environment = {"FAAS_BUILD_INSTALLERS_PYPI": name}
    if name == "uv":
        beside = Path(sys.executable).parent / "uv"
        found = str(beside) if beside.exists() else shutil.which("uv")
        assert found, "uv is not installed: run scripts/setup test"
        environment["PATH"] = f"{Path(found).parent}{os.pathsep}{os.environ['PATH']}"
    return environment


class PythonIndex(Index):
    """A simple repository (PEP 503)."""

    def __init__(self, password: str = "") -> None:
        super().__init__(password, "/simple")
        self.packages: dict[str, dict[str, bytes]] = {}

    def add(self, file: tuple[str, bytes]) -> str:
        """Offers a wheel or a source distribution; returns its SHA-256."""
        name, data = file
        package = name.rsplit("-", 1)[0] if name.endswith(".tar.gz") else name.split("-")[0]
        self.packages.setdefault(package.replace("_", "-").lower(), {})[name] = data
        return hashlib.sha256(data).hexdigest()

    def page(self, path: str) -> bytes | None:
        """What is at a path."""
        parts = path.split("?")[0].strip("/").split("/")
        match parts:
            case ["simple", package] if package in self.packages:
                files = self.packages[package]
                links = [
                    f'<a href="/files/{package}/{name}#sha256={hashlib.sha256(data).hexdigest()}">{name}</a>'
                    for name, data in files.items()
                ]
                return ("<!DOCTYPE html><html><body>" + "\n".join(links) + "</body></html>").encode()
            case ["files", package, name]:
                return self.packages.get(package, {}).get(name)
        return None


def npm_package(name: str, version: str, files: dict[str, str]) -> tuple[str, str, bytes]:
    """A package of Node: its name, its version, and the archive."""
    members = {"package.json": json.dumps({"name": name, "version": version}), **files}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in members.items():
            info = tarfile.TarInfo(f"package/{path}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return name, version, buffer.getvalue()


class NpmRegistry(Index):
    """A registry with archives, asked by way of lock files. With a password it lets only that one in."""

    def __init__(self, password: str = "") -> None:
        super().__init__(password, "/")
        self.archives: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.locked: dict[str, dict[str, object]] = {}

    def add(self, package: tuple[str, str, bytes], requires: dict[str, str] | None = None) -> None:
        """Offers a package, which may need others."""
        name, version, archive = package
        path = f"/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
        self.archives[path] = archive
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            manifest = files.extractfile("package/package.json")
            self.manifests[f"/{name}/{version}"] = manifest.read() if manifest else b""
        integrity = self.integrity(name, version)
        entry: dict[str, object] = {"version": version, "resolved": f"http://127.0.0.1:{self.port}{path}"}
        self.locked[name] = entry | {"integrity": integrity} | ({"dependencies": requires} if requires else {})

    def add_archive(self, archive: bytes) -> None:
        """Offers an archive that was fetched from elsewhere."""
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            manifest = files.extractfile("package/package.json")
            about = json.loads(manifest.read()) if manifest else {}
        self.add((about["name"], about["version"], archive), about.get("dependencies"))

    def integrity(self, name: str, version: str) -> str:
        """What an archive hashes to."""
        archive = self.archives[f"/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"]
        return "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()

    def project(self, *names: str, **more: object) -> dict[str, str]:
        """`package.json` and `package-lock.json` of a project that needs these and what they need."""
        wanted = {name: str(self.locked[name]["version"]) for name in names}
        todo, packages = list(names), {}
        while todo:
            name = todo.pop()
            packages[f"node_modules/{name}"] = self.locked[name]
            todo += dict(self.locked[name].get("dependencies") or {})  # type: ignore[call-overload]
        project = {"name": "it", "version": "1.0.0", "dependencies": wanted} | more
        lock = {"name": "it", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": project, **packages}}
        return {"package.json": json.dumps(project), "package-lock.json": json.dumps(lock)}

    def page(self, path: str) -> bytes | None:
        """What is at a path."""
        path = unquote(path.split("?")[0])
        return self.archives.get(path) or self.manifests.get(path)
