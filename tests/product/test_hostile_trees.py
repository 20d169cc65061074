"""Directories of strangers on one's own machine: links lead nowhere, and nothing is written through them."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from harness import Server, write_function

from product.developer import Dev, Developer
from product.functions import ADD

SECRET = "AKIA-not-for-strangers-1234567890"
MANIFESTS = ["faas.toml", "platform.yaml", "function.config.json", "function.config.ts", "function.config.js"]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside of the directory, which only its owner reads."""
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n", "utf-8")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("manifest", MANIFESTS)
@pytest.mark.parametrize("command", [["validate"], ["deploy"], ["git", "remote"]])
def test_a_linked_manifest(server: Server, tmp_path: Path, secret: Path, manifest: str, command: list[str]) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "main.py").write_text(ADD, "utf-8")
    for target in (str(secret), "../secret"):
        (folder / manifest).unlink(missing_ok=True)
        (folder / manifest).symlink_to(target)
        result = server.cli(*command, folder)
        assert result.code == 5, result.stderr
        assert f"{manifest}: it is a symbolic link" in result.stderr
        assert "AKIA" not in result.stdout + result.stderr


@pytest.mark.parametrize("target", ["../elsewhere", "real", "/etc"])
def test_a_linked_directory_of_a_function(server: Server, tmp_path: Path, name: str, target: str) -> None:
    for other in ("elsewhere", "tree/real"):
        (tmp_path / other).mkdir(parents=True)
        (tmp_path / other / "main.py").write_text(ADD, "utf-8")
    folder = tmp_path / "tree"
    (folder / "faas.toml").write_text(f'name = "{name}"\npath = "linked"\n', "utf-8")
    (folder / "linked").symlink_to(target)
    result = server.cli("deploy", folder).exits(5)
    assert "`path`:" in result.stderr
    assert "it is a symbolic link" in result.stderr
    (folder / "linked").unlink()
    (folder / "faas.toml").write_text(f'name = "{name}"\npath = "real"\n', "utf-8")
    server.cli("deploy", folder).ok()


@pytest.mark.parametrize("path", [".faasignore", "tests", "tests/a.json", "tests/__snapshots__", ".faas"])
def test_what_else_a_directory_names(server: Server, tmp_path: Path, secret: Path, name: str, path: str) -> None:
    folder = write_function(tmp_path, name, ADD)
    outside = tmp_path / "outside"
    (outside / "a").mkdir(parents=True)
    case = '{"request": {"body": {"x": 1, "y": 2}}, "expect": {"status": 200, "snapshot": true}}'
    if path != "tests":
        (folder / "tests").mkdir()
    if path not in ("tests", "tests/a.json"):
        (folder / "tests" / "a.json").write_text(case, "utf-8")
    is_directory = path in ("tests", "tests/__snapshots__", ".faas")
    if is_directory:
        (outside / "a.json").write_text(case, "utf-8")
    (folder / path).symlink_to(outside if is_directory else secret)
    before = sorted(str(found) for found in outside.rglob("*"))
    words = ["validate"] if path == ".faasignore" else ["test", "--update"]
    result = server.cli(*words, folder, timeout=120)
    assert result.code != 0, result.stdout + result.stderr
    assert "symbolic link" in result.stdout + result.stderr
    assert "AKIA" not in result.stdout + result.stderr
    assert sorted(str(found) for found in outside.rglob("*")) == before
    assert secret.read_text("utf-8") == SECRET + "\n"


def test_the_vars_of_a_directory(tmp_path: Path, secret: Path) -> None:
    """A `.env` that is a link gives its target to nobody; one that the user names is the user's own choice."""
    secret.write_text("TOKEN=AKIA\n", "utf-8")
    developer = Developer(tmp_path / "home")
    developer.home.mkdir()
    folder = write_function(tmp_path, "linked", "import os\n\n\ndef handler():\n    return os.environ.get('TOKEN')\n")
    (folder / ".env").symlink_to(secret)
    with Dev(developer, folder, "--public") as dev:
        said = dev.has_said("failed", within=60)
        assert "symbolic link" in said["message"]
        assert "AKIA" not in json.dumps(dev.events)
    with Dev(developer, folder, "--public", "--env-file", str(folder / ".env")) as dev:
        assert dev.answer() == {"result": "AKIA"}


def test_vars_are_pulled_into_no_link(server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, ADD)
    server.deploy(folder)
    server.cli("vars", "set", name, "A=1").ok()
    victim = tmp_path / "victim"
    victim.write_text("B=2\n", "utf-8")
    (folder / ".env").symlink_to(victim)
    result = server.cli("vars", "pull", name, cwd=folder)
    assert result.code != 0
    assert "symbolic link" in result.stderr
    server.cli("vars", "pull", name, "--file", "./.env", cwd=folder).ok()
    assert victim.read_text("utf-8") == "B=2\nA=1\n"
    new = tmp_path / "new"
    new.mkdir()
    (new / "tests").symlink_to(tmp_path)
    assert server.cli("init", "demo", "--dir", new).code != 0
    assert not (tmp_path / "first.json").exists()


def test_nothing_is_mended_through_a_link(server: Server, tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim.toml"
    victim.write_text('name = "Not Valid"\n', "utf-8")
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "main.py").write_text(ADD, "utf-8")
    (folder / "faas.toml").symlink_to(victim)
    server.cli("validate", folder, "--fix").exits(5)
    assert victim.read_text("utf-8") == 'name = "Not Valid"\n'
    (folder / "faas.toml").unlink()
    (folder / "faas.toml").write_text('name = "Not Valid"\n', "utf-8")
    (folder / "faas.toml").chmod(0o640)
    server.cli("validate", folder, "--fix").ok()
    assert (folder / "faas.toml").read_text("utf-8") == 'name = "not-valid"\n'
    assert stat.S_IMODE((folder / "faas.toml").stat().st_mode) == 0o640


def test_a_pipe_is_not_waited_for(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    for manifest in ("faas.toml", ".faasignore"):
        os.mkfifo(folder / manifest)
        result = server.cli("validate", folder, "--name", "x", timeout=20)
        assert result.code != 0
        assert "not a regular file" in result.stderr
        (folder / manifest).unlink()


# === archives ===


def archive(path: Path, files: dict[str, str]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name, text in files.items():
                info = zipfile.ZipInfo("x")
                info.filename = name
                packed.writestr(info, text)
        return path
    with tarfile.open(path, "w:gz") as packed:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            packed.addfile(info, io.BytesIO(text.encode()))
    return path


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
@pytest.mark.parametrize("inside", ["proj/", ""])
def test_what_macos_adds_stays_out(server: Server, tmp_path: Path, name: str, suffix: str, inside: str) -> None:
    odd = "\0\5\26\7 not Python"
    files = {
        f"{inside}faas.toml": f'name = "{name}"\n',
        f"{inside}main.py": ADD,
        f"{inside}._main.py": odd,
        f"__MACOSX/{inside}._main.py": odd,
        "__MACOSX/._x": odd,
        ".DS_Store": odd,
    }
    deployed = server.deploy(archive(tmp_path / f"a.{suffix}", files))
    assert deployed["upload"]["files"] == 2
    assert server.api.invoke(name, {"x": 1, "y": 2}).expect(200).json() == {"result": 3}


@pytest.mark.parametrize("inside", ["", "proj\\"])
def test_a_zip_with_separators_of_windows(server: Server, tmp_path: Path, name: str, inside: str) -> None:
    code = "from lib.util import f\n\n\ndef handler():\n    return f()\n"
    files = {"faas.toml": f'name = "{name}"\n', "main.py": code, "lib\\util.py": "def f():\n    return 1\n"}
    server.deploy(archive(tmp_path / "a.zip", {inside + path: text for path, text in files.items()}))
    assert server.api.invoke(name).expect(200).json() == {"result": 1}
    for evil in ("..\\evil.py", "a\\..\\..\\evil.py", "\\evil.py"):
        result = server.cli("deploy", archive(tmp_path / "b.zip", files | {evil: "x"}))
        assert result.code == 5, result.stderr
    assert not (tmp_path / "evil.py").exists()


def test_errors_about_archives_name_the_archive(server: Server, tmp_path: Path) -> None:
    junk = bytes(range(256)) * 4
    for name, told in (("junk.zip", "is not a zip archive"), ("junk.tar.gz", "is not a tar.gz archive")):
        (tmp_path / name).write_bytes(junk)
        result = server.cli("deploy", tmp_path / name).exits(2)
        assert f"{name} {told}" in result.stderr
    empty = archive(tmp_path / "empty.zip", {"a.txt": "", "b.txt": ""})
    result = server.cli("deploy", empty).exits(5)
    assert f"no faas.toml in {empty}" in result.stderr
    assert "faas-source" not in result.stderr
    link = io.BytesIO()
    with tarfile.open(fileobj=link, mode="w") as packed:
        info = tarfile.TarInfo("faas.toml")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed.addfile(info)
    (tmp_path / "link.tar").write_bytes(link.getvalue())
    assert "faas.toml is a link" in server.cli("deploy", tmp_path / "link.tar").exits(5).stderr


# === hints ===


def test_hints_for_files_that_cannot_be_called(server: Server, tmp_path: Path) -> None:
    code = "def handler():\n    return 1\n"
    for name, told in (
        ("time.py", "Python has a module `time` built in"),
        ("a.b.py", "`.` in the name of a module leads into a directory"),
        ("f.cts", "TypeScript is not compiled here"),
    ):
        (tmp_path / name).write_text(code, "utf-8")
        result = server.cli("validate", tmp_path / name)
        assert result.code in (2, 5), result.stderr
        assert told in result.stderr, name
    folder = tmp_path / "typescript"
    folder.mkdir()
    (folder / "faas.toml").write_text('name = "x"\nruntime = "node20"\n', "utf-8")
    (folder / "index.ts").write_text("export const handler = () => 1\n", "utf-8")
    assert "index.ts is TypeScript" in server.cli("validate", folder).exits(5).stderr


def test_a_directory_without_a_manifest_says_how_to_name_it(server: Server, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "nomani"
    folder.mkdir()
    (folder / "main.py").write_text(ADD, "utf-8")
    result = server.cli("deploy", folder).exits(5)
    hint = f"faas deploy {folder} --name NAME"
    assert hint in result.stderr
    server.cli("deploy", folder, "--name", name).ok()


def test_byte_order_marks_are_passed_over(server: Server, tmp_path: Path, name: str) -> None:
    mark = "\ufeff"
    folder = write_function(tmp_path, name, ADD)
    (folder / ".faasignore").write_text(mark + "*.log\n*.tmp\n", "utf-8")
    (folder / "a.log").write_text("x", "utf-8")
    (folder / "a.tmp").write_text("x", "utf-8")
    (folder / "tests").mkdir()
    case = '{"request": {"body": {"x": 1, "y": 2}}, "expect": {"json": {"result": 3}}}'
    (folder / "tests" / "a.json").write_text(mark + case, "utf-8")
    assert server.deploy(folder)["upload"]["files"] == 3
    server.cli("test", folder, timeout=120).ok()
    (tmp_path / "v.env").write_text(mark + "BOMKEY=1\n", "utf-8")
    server.cli("vars", "set", name, "--file", tmp_path / "v.env").ok()
    assert server.cli("vars", "get", name, "BOMKEY").ok().stdout == "1\n"


@pytest.mark.parametrize("path", [".npmrc", ".envrc", ".netrc", ".pypirc", ".yarnrc.yml"])
def test_files_of_tokens_stay_at_home(server: Server, tmp_path: Path, name: str, path: str) -> None:
    folder = write_function(tmp_path, name, ADD)
    (folder / path).write_text("//registry.example.org/:_authToken=x\n", "utf-8")
    report = server.cli("validate", folder, "-o", "json").ok().json()
    assert report["files"] == 2
    (folder / ".faasignore").write_text(f"!{path}\n", "utf-8")
    assert server.cli("validate", folder, "-o", "json").ok().json()["files"] == 3
