"""Deployments from archives, standard input and git repositories."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, write_function

CODE = "import helper\n\ndef handler():\n    return helper.WORD\n"


def project(parent: Path, name: str, word: str) -> Path:
    return write_function(parent, name, {"main.py": CODE, "helper/__init__.py": f"WORD = '{word}'\n"})


def tar_of(folder: Path, inside: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(folder, arcname=inside or ".")
    return buffer.getvalue()


def zip_of(folder: Path, inside: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, Path(inside) / path.relative_to(folder))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        ("tar", tar_of),
        ("tar.gz", lambda folder: gzip.compress(tar_of(folder, "release-1.2"))),
        ("zip", zip_of),
        ("zip", lambda folder: zip_of(folder, "release-1.2")),
    ],
    ids=["tar", "tar-gz-in-a-directory", "zip", "zip-in-a-directory"],
)
def test_an_archive(server: Server, tmp_path: Path, name: str, suffix: str, pack: Callable[[Path], bytes]) -> None:
    archive = tmp_path / f"release.{suffix}"
    archive.write_bytes(pack(project(tmp_path, name, "packed")))
    deployed = server.deploy(archive)
    assert deployed["function"] == name
    assert server.api.invoke(name).expect(200).json() == {"result": "packed"}


def test_standard_input(server: Server, tmp_path: Path, name: str) -> None:
    folder = project(tmp_path, "ignored", "piped")
    (folder / "faas.toml").unlink()
    for content in (tar_of(folder), gzip.compress(tar_of(folder)), zip_of(folder)):
        done = subprocess.run(
            [str(server.program), "deploy", "-", "--name", name],
            input=content,
            env=server.cli.env,
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
    assert server.api.invoke(name).expect(200).json() == {"result": "piped"}
    assert server.cli("deploy", "-", "--name", name, stdin="").exits(2).stdout == ""
    assert (
        "standard input is not a zip, tar or tar.gz"
        in server.cli("deploy", "-", "--name", name, stdin="hello").exits(2).stderr
    )


def test_nothing_is_left_of_what_was_unpacked(server: Server, tmp_path: Path, name: str) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(tar_of(project(tmp_path, name, "x")))
    before = set(server.temporary.iterdir())
    server.deploy(archive)
    assert {path for path in server.temporary.iterdir() if path.name.startswith("faas-source")} <= before


@pytest.mark.parametrize("hostile", ["../evil.py", "/tmp/evil.py", "link", "hard link", "device", "twice"])
def test_a_hostile_archive(server: Server, tmp_path: Path, name: str, hostile: str) -> None:
    """Each is refused, and nothing is written outside or sent."""
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(project(tmp_path, name, "x"), arcname=".")
        member = tarfile.TarInfo(hostile if hostile.endswith(".py") else "odd")
        if hostile == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        elif hostile == "hard link":
            member.type, member.linkname = tarfile.LNKTYPE, "main.py"
        elif hostile == "device":
            member.type = tarfile.CHRTYPE
        elif hostile == "twice":
            member.name = "./main.py"
        tar.addfile(member)
    result = server.cli("deploy", archive)
    assert result.code == 5, result.stderr
    server.http.get(f"/api/v1/functions/{name}").expect(404)
    assert not Path("/tmp/evil.py").exists()


def test_a_bomb_is_cut_short(server: Server, tmp_path: Path, name: str) -> None:
    """Three gigabytes of zeros in three megabytes."""
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as bomb:
        for number in range(2):
            with bomb.open(f"zeros-{number}", "w") as entry:
                for _ in range(140):
                    entry.write(bytes(1 << 20))
    assert archive.stat().st_size < 3 << 20
    result = server.cli("deploy", archive, "--name", name, timeout=120)
    assert result.code == 7, result.stderr
    assert "FN_011" in result.stderr


# === git ===


def git(folder: Path, *words: str) -> str:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }
    done = subprocess.run(["git", *words], cwd=folder, env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, name: str) -> Path:
    """Two commits, the first tagged, with the function in a directory and a hook that must not run."""
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    project(root / "functions", name, "first")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    git(root, "tag", "v1")
    project(root / "functions", name, "second")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "second")
    return root


def test_a_repository(server: Server, repository: Path, name: str) -> None:
    url = f"file://{repository}"
    server.cli("deploy", f"git+{url}@v1#functions/{name}").ok()
    assert server.api.invoke(name).expect(200).json() == {"result": "first"}
    server.cli("deploy", "--git", url, "--ref", "main", "--subdir", f"functions/{name}").ok()
    assert server.api.invoke(name).expect(200).json() == {"result": "second"}
    server.cli("deploy", "--git", url, "--subdir", f"functions/{name}").ok()


def test_a_repository_that_is_not_there(server: Server, repository: Path, name: str) -> None:
    url = f"file://{repository}"
    for words in (
        ["--git", f"{url}-not"],
        ["--git", url, "--ref", "v2"],
        ["--git", url, "--subdir", "functions/other"],
    ):
        result = server.cli("deploy", *words)
        assert result.code == 1, result.stderr
        assert "cannot fetch" in result.stderr
    for url in ("ext::sh -c id", "git://example.org/x", "http://example.org/x", "https://a:b@example.org/x"):
        server.cli("deploy", "--git", url, "--name", name).exits(2)


def test_links_and_hooks_of_a_repository_do_nothing(
    server: Server, repository: Path, name: str, tmp_path: Path
) -> None:
    witness = tmp_path / "ran"
    for hook in ("post-checkout", "post-merge", "reference-transaction", "pre-auto-gc"):
        script = repository / ".git/hooks" / hook
        script.write_text(f"#!/bin/sh\ntouch {witness}\n", encoding="utf-8")
        script.chmod(0o755)
    os.symlink("/etc/passwd", repository / "functions" / name / "link")
    (repository / ".gitattributes").write_text("*.py filter=evil\n", encoding="utf-8")
    git(repository, "-c", "filter.evil.clean=cat", "add", ".")
    git(repository, "-c", "core.hooksPath=/dev/null", "commit", "-q", "-m", "links")
    witness.unlink(missing_ok=True)
    result = server.cli("deploy", "--git", f"file://{repository}", "--subdir", f"functions/{name}")
    assert result.code == 5, result.stderr
    assert "link" in result.stderr
    assert not witness.exists()
