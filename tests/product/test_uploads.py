"""Uploads made by hand, as an attacker would: paths that leave the bundle, links, wrong hashes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from harness import Reply, Server, write_function

CODE = b"def handler():\n    return 'uploaded'\n"


def put_blob(server: Server, content: bytes, digest: str | None = None) -> Reply:
    digest = digest or blake3(content).hexdigest()
    headers = {"Content-Type": "application/octet-stream"}
    return server.http.request("PUT", f"/api/v1/blobs/{digest}", content, headers=headers)


def deploy(server: Server, name: str, files: list[dict[str, Any]], **manifest: Any) -> Reply:
    body = {"manifest": {"name": name, "runtime": "python"} | manifest, "files": files}
    return server.http.post(f"/api/v1/functions/{name}/deploy", body, timeout=120)


def entry(path: str, content: bytes = CODE, **changed: Any) -> dict[str, Any]:
    return {"path": path, "digest": blake3(content).hexdigest(), "size": len(content)} | changed


def test_an_honest_upload(server: Server, name: str) -> None:
    assert put_blob(server, CODE).status in (200, 201, 204)
    assert deploy(server, name, [entry("main.py")]).status in (200, 201)
    assert server.api.invoke(name).expect(200).json() == {"result": "uploaded"}


EVIL = [
    "../evil.py",
    "../../../../tmp/evil.py",
    "/etc/cron.d/evil",
    "a/../../evil.py",
    "a/./b.py",
    "a//b.py",
    "..",
    ".",
    "",
    "a\\..\\evil.py",
    "nul\0byte.py",
    "new\nline.py",
    "x/" * 40 + "deep.py",
    "l" * 600,
    "C:/evil.py",
]

HARMLESS = ("a\\..\\evil.py", "C:/evil.py")


@pytest.mark.parametrize("path", EVIL, ids=[repr(path[:20]) for path in EVIL])
def test_paths_that_leave_the_bundle(server: Server, name: str, path: str, tmp_path: Path) -> None:
    put_blob(server, CODE)
    reply = deploy(server, name[:40], [entry("main.py"), entry(path)])
    # On Linux two of them are odd but harmless names; what matters is that nothing lands elsewhere.
    if not (path in HARMLESS and reply.status in (200, 201)):
        assert reply.status in (400, 422), reply.body
        assert reply.json()["code"] in ("FN_006", "FN_012", "FN_005")
        server.http.get(f"/api/v1/functions/{name[:40]}/versions/1").expect(404)
    assert not [
        found for found in (Path("/tmp/evil.py"), Path("/etc/cron.d/evil"), server.data / "evil.py") if found.exists()
    ]


def test_two_files_of_one_path(server: Server, name: str) -> None:
    put_blob(server, CODE)
    put_blob(server, b"x = 1\n")
    assert deploy(server, name, [entry("main.py"), entry("main.py", b"x = 1\n")]).status in (400, 422)
    assert deploy(server, name, [entry("main.py"), entry("main.py/x.py")]).status in (400, 422)


def test_a_hash_that_lies(server: Server, name: str) -> None:
    wrong = blake3(b"something else").hexdigest()
    reply = put_blob(server, CODE + b"#", wrong)
    assert reply.status in (400, 409, 422), reply.body
    # Nothing was stored under that name.
    assert deploy(server, name, [entry("main.py", digest=wrong)]).status in (404, 409, 422)


def test_a_size_that_lies(server: Server, name: str) -> None:
    put_blob(server, CODE)
    assert deploy(server, name, [entry("main.py", size=1)]).status in (400, 422)
    assert deploy(server, name, [entry("main.py", size=1 << 62)]).status in (400, 413, 422)


@pytest.mark.parametrize("digest", ["../../admin.key", "0" * 63, "0" * 65, "G" * 64, "%2e%2e%2fadmin.key", "A" * 64])
def test_a_hash_that_is_none(server: Server, name: str, digest: str) -> None:
    assert put_blob(server, CODE, digest).status in (400, 404, 422)
    assert deploy(server, name[:40], [entry("main.py", digest=digest)]).status in (400, 422)


def test_files_that_were_never_uploaded(server: Server, name: str) -> None:
    missing = b"# never sent\n"
    reply = deploy(server, name, [entry("main.py", missing)])
    assert reply.status in (404, 409, 422), reply.body
    assert blake3(missing).hexdigest()[:8] in reply.body.decode() or "main.py" in reply.body.decode()


def test_too_many_files(server: Server, name: str) -> None:
    put_blob(server, CODE)
    files = [entry("main.py"), *(entry(f"f{number}.py") for number in range(20_001))]
    assert deploy(server, name, files).status in (400, 413, 422)


def test_a_name_that_does_not_match(server: Server, name: str) -> None:
    put_blob(server, CODE)
    body = {"manifest": {"name": "another"}, "files": [entry("main.py")]}
    reply = server.http.post(f"/api/v1/functions/{name}/deploy", body)
    assert reply.status in (400, 422), reply.body


def test_links_in_the_directory(server: Server, tmp_path: Path, name: str) -> None:
    """The command line never packs what a link leads to outside the directory."""
    secret = tmp_path / "secret.txt"
    secret.write_text("top secret", encoding="utf-8")
    code = """
import os

def handler():
    return {f: open(f).read() for f in ("link.txt", "linked/secret.txt") if os.path.exists(f)}
"""
    folder = write_function(tmp_path, name, code)
    (folder / "link.txt").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path)
    result = server.cli("deploy", folder)
    if result.code == 0:
        assert server.api.invoke(name).expect(200).json() == {"result": {}}
    else:
        result.exits(5)
        assert "link" in result.stderr


def test_special_files_in_the_directory(server: Server, tmp_path: Path, name: str) -> None:
    import os

    folder = write_function(tmp_path, name, "def handler():\n    return 1\n")
    os.mkfifo(folder / "pipe")
    result = server.cli("deploy", folder, timeout=60)
    assert result.code in (0, 5), result.stderr
