"""Versions as people meet them: addresses, authors, differences, and what a rollback says."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Server, write_function


def code(number: int) -> str:
    """A handler that answers with a number."""
    return f"def handler():\n    return {number}\n"


@pytest.fixture
def two(server: Server, tmp_path: Path, name: str) -> str:
    """A function with two versions."""
    server.deploy(write_function(tmp_path, name, {"main.py": code(1), "old.txt": "gone"}), "-m", "the first")
    (tmp_path / name / "old.txt").unlink()
    files = {"main.py": code(2), "lib/new.py": "x = 1\n"}
    server.deploy(write_function(tmp_path, name, files, timeout="5s", scaling={"max": 3}))
    return name


def test_every_door_takes_aliases_and_numbers(server: Server, two: str) -> None:
    server.cli("alias", "set", two, "staging", "1").ok()
    for address, version in ((two, 2), (f"{two}:staging", 1), (f"{two}:1", 1), (f"{two}:2", 2), (f"{two}:live", 2)):
        for reply in (server.http.get(f"/fn/{address}/"), server.api.invoke(address)):
            assert reply.expect(200).headers["x-function-version"] == str(version), address
        assert server.cli("invoke", address).ok().stdout.strip() == f'{{"result":{version}}}'
        assert (
            server.cli("invoke", address, "-X", "GET", "--path", "/x").ok().stdout.strip() == f'{{"result":{version}}}'
        )
        later = server.http.post(f"/async/{address}/", {}).expect(202)
        assert later.headers["x-function-version"] == str(version)
        assert server.api.finished(later.json()["run_id"])["version"] == version
    for address, status in ((f"{two}:none", 404), (f"{two}:9", 404), (f"{two}:99999999999", 404), (f"{two}:A_b", 400)):
        server.http.get(f"/fn/{address}/").expect(status)


def test_a_version_names_its_author_and_its_aliases(server: Server, two: str) -> None:
    first, second = (server.http.get(f"/api/v1/functions/{two}/versions/{n}").expect(200).json() for n in (1, 2))
    assert (first["actor"]["type"], first["actor"]["name"]) == ("key", "admin")
    assert first["actor"]["id"].startswith("key_")
    assert (first["note"], first["aliases"], second["aliases"]) == ("the first", [], ["live"])
    assert first["digest"] != second["digest"]
    table = server.cli("fn", "versions", two).ok().stdout
    assert "admin" in table
    assert second["digest"][:12] in table
    server.http.get(f"/api/v1/functions/{two}/versions/3").expect(404)
    server.http.get(f"/api/v1/functions/{two}/versions/x").expect(404)


def test_an_alias_without_requests_shows_no_url(server: Server, tmp_path: Path, two: str) -> None:
    nightly = f"{two}-nightly"
    folder = write_function(tmp_path, nightly, code(1))
    with (folder / "faas.toml").open("a", encoding="utf-8") as manifest:
        manifest.write('\n[[triggers]]\ntype = "cron"\nschedule = "0 3 * * *"\n')
    server.deploy(folder)
    for name, serves in ((nightly, False), (two, True)):
        (alias,) = server.http.get(f"/api/v1/functions/{name}/aliases").expect(200).json()["items"]
        assert alias["http"] is serves and alias["url"].endswith(f"/fn/{name}")
        assert (alias["url"] in server.cli("alias", "list", name).ok().stdout) is serves
        assert (
            "none: it has no http trigger" in server.cli("alias", "set", name, "other", "1").ok().stdout
        ) is not serves


def test_what_two_versions_differ_in(server: Server, two: str) -> None:
    diff = server.cli("fn", "diff", two, "1", "2", "-o", "json").ok().json()
    files = {row["path"]: (row["change"], row["size_from"], row["size_to"]) for row in diff["files"]}
    size = len(code(1))
    assert files.pop("faas.toml")[0] == "changed"
    assert files == {
        "lib/new.py": ("added", None, 6),
        "main.py": ("changed", size, size),
        "old.txt": ("removed", 4, None),
    }
    settings = {row["key"]: (row["from"], row["to"]) for row in diff["settings"]}
    assert settings == {"scaling.max": (10, 3), "timeout": ("30s", "5s")}
    table = server.cli("fn", "diff", two, "1", "2").ok().stdout
    for word in ("added", "lib/new.py", "removed", "scaling.max", "timeout"):
        assert word in table
    same = server.cli("fn", "diff", two, "2", "2", "-o", "json").ok().json()
    assert (same["files"], same["settings"]) == ([], [])
    server.cli("fn", "diff", two, "1", "7").exits(4)


def test_a_rollback_says_what_it_leaves(server: Server, two: str) -> None:
    result = server.cli("rollback", two, "-m", "wrong").ok()
    for word in ("secrets", "triggers", "accepted before", "data"):
        assert word in result.stderr
    assert server.api.invoke(two).json() == {"result": 1}
    moves = server.cli("fn", "deployments", two, "-o", "json").ok().json()["items"]
    assert [(row["kind"], row["from"], row["version"]) for row in moves] == [
        ("rollback", 2, 1),
        ("deploy", 1, 2),
        ("deploy", None, 1),
    ]
    assert moves[0]["note"] == "wrong"
    assert "FN_013" in server.cli("rollback", two).exits(4).stderr


def test_every_move_names_who_made_it(server: Server, two: str) -> None:
    key = server.api.create_key(f"{two}-ci", ["functions:write"])
    server.http.request(
        "PUT", f"/api/v1/functions/{two}/aliases/staging", json_body={"targets": [{"version": 1}]}, key=key["key"]
    ).expect(201)
    server.cli("rollback", two).ok()
    live = f"/api/v1/functions/{two}/aliases/live"
    server.http.request("PUT", live, json_body={"targets": [{"version": 2}]}, key=key["key"]).expect(200)
    server.http.request("DELETE", f"/api/v1/functions/{two}/aliases/staging", key=key["key"]).expect(204)
    rows = server.http.get(f"/api/v1/functions/{two}/deployments").expect(200).json()["items"]
    made = [(row["kind"], row["alias"], row["actor"]["name"]) for row in rows]
    assert made == [
        ("remove", "staging", f"{two}-ci"),
        ("set", "live", f"{two}-ci"),
        ("rollback", "live", "admin"),
        ("set", "staging", f"{two}-ci"),
        ("deploy", "live", "admin"),
        ("deploy", "live", "admin"),
    ]
    assert rows[0]["actor"]["id"] == key["id"]
    live = server.http.get(f"/api/v1/functions/{two}/aliases/live").expect(200).json()
    assert live["actor"] == {"type": "key", "id": key["id"], "name": f"{two}-ci"}
    server.http.request("DELETE", f"/api/v1/keys/{key['id']}")
    assert f"{two}-ci" in server.cli("alias", "list", two).ok().stdout, "as the key was called then"
    assert "BY" in server.cli("fn", "deployments", two).ok().stdout.splitlines()[0].split()


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"targets": []}, "targets"),
        ({"targets": [{"version": 1}, {"version": 2}]}, "percent"),
        ({"targets": [{"version": 1, "percent": 50}, {"version": 2, "percent": 49}]}, "100"),
        ({"targets": [{"version": 1, "percent": 100}, {"version": 2, "percent": 0}]}, "nothing"),
        ({"targets": [{"version": 1, "percent": 50}, {"version": 1, "percent": 50}]}, "both"),
        ({"targets": [{"version": 1, "percent": 33.33}, {"version": 2, "percent": 66.67}]}, "decimal"),
        ({"targets": [{"version": 1, "percent": 90}]}, "100"),
        ({"targets": [{"version": 1}], "sticky": "query:x"}, "sticky"),
        ({"targets": [{"version": 1}], "sticky": "header:a b"}, "sticky"),
        ({"targets": [{"version": 1}], "note": "x" * 1001}, "note"),
        ({"targets": [{"version": 1}], "weight": 3}, "weight"),
    ],
)
def test_what_is_no_alias_is_refused_by_name(server: Server, two: str, body: dict[str, object], word: str) -> None:
    reply = server.http.request("PUT", f"/api/v1/functions/{two}/aliases/live", json_body=body)
    assert reply.status in (400, 422), reply.body
    assert word in reply.body.decode()
    assert server.api.function(two)["aliases"]["live"]["version"] == 2


def test_flags_of_previews_go_together(server: Server, tmp_path: Path, two: str) -> None:
    folder = tmp_path / two
    server.cli("deploy", folder, "--expires", "2d").exits(2)
    server.cli("deploy", folder, "--alias", "a", "--preview", "b").exits(2)
    server.cli("deploy", folder, "--preview", "Not A Name").exits(2)
    for args, word in ((("--preview", "live"), "live"), (("--preview", "x", "--expires", "91d"), "90d")):
        assert word in server.cli("deploy", folder, *args).exits(5).stderr
    assert server.api.function(two)["latest_version"] == 2
