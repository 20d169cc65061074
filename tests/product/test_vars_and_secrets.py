"""Vars and secrets at the doors: what comes back, what is refused, and `.env` files that stay whose they are."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Server, write_function

SECRET = "value-that-nobody-sees"
TOKEN = "ghp_" + "a1B2" * 9


@pytest.fixture(scope="module")
def used(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A function that uses a secret, a var of its manifest and one of the project."""
    shared_server.cli("secrets", "set", "USED", stdin=SECRET).ok()
    shared_server.cli("vars", "set", "--shared", "PLACE=everywhere").ok()
    folder = write_function(
        tmp_path_factory.mktemp("fn"), "used", "import os\n\ndef handler(): return dict(os.environ)\n"
    )
    with (folder / "faas.toml").open("a", encoding="utf-8") as manifest:
        manifest.write('[vars]\nKEY = "${secrets.USED}"\nGREETING = "hi"\n')
    shared_server.deploy(folder)
    yield "used"
    shared_server.cli("vars", "unset", "--shared", "PLACE").ok()


def test_values_of_secrets_never_come_back(server: Server, used: str) -> None:
    listed = server.http.get("/api/v1/secrets?stage=dev").expect(200)
    row = next(row for row in listed.json()["items"] if row["name"] == "USED")
    assert (row["stage"], row["version"], row["used_by"]) == ("prod", 1, [used])
    answers = [
        listed,
        server.http.get("/api/v1/secrets/USED"),
        server.http.request("PUT", "/api/v1/secrets/USED", json_body={"value": SECRET}),
        server.http.get(f"/functions/{used}/env?stage=staging"),
        server.http.get(f"/api/v1/functions/{used}"),
        server.http.get(f"/api/v1/functions/{used}/versions"),
    ]
    for answer in answers:
        assert SECRET not in answer.expect(200).body.decode()
    for door in ("--help", "versions", "list"):
        words = ["USED"] if door == "versions" else []
        shown = server.cli("secrets", door, *words).ok()
        assert SECRET not in shown.stdout + shown.stderr


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("PUT", "secrets/a-b", {"value": "x"}, 422, "secret name"),
        ("PUT", "secrets/A", {"value": ""}, 422, "empty"),
        ("PUT", "secrets/A", {"value": "a\0b"}, 422, "NUL"),
        ("PUT", "secrets/A", {"value": "x" * 40_000}, 422, "40000 bytes"),
        ("PUT", "secrets/A", {"vale": "x"}, 422, "unknown field"),
        ("PUT", "secrets/A?stage=production", {"value": "x"}, 400, "stage"),
        ("GET", "secrets/NOT_THERE", None, 404, "no secret `NOT_THERE`"),
        ("DELETE", "secrets/NOT_THERE", None, 404, "no secret `NOT_THERE`"),
        ("POST", "secrets/USED/restore", {"version": 99}, 404, "not kept"),
        ("DELETE", "secrets/USED", None, 409, "used by used"),
        ("PATCH", "vars", {"vars": {"A": "${secrets.NOT_THERE}"}}, 422, "no secret `NOT_THERE`"),
        ("PATCH", "vars?stage=dev", {"vars": {"A": "${secrets.no-name}"}}, 422, "${secrets.NAME}"),
        ("POST", "functions/used/env", {"vars": {"A": "${secrets.NOT_THERE}"}}, 422, "no secret `NOT_THERE`"),
        ("DELETE", "vars/PLACE?stage=dev", None, 404, "stage dev itself"),
    ],
)
def test_what_cannot_be_is_refused(
    server: Server, used: str, method: str, path: str, body: object, status: int, says: str
) -> None:
    reply = server.http.request(method, f"/api/v1/{path}", json_body=body)
    assert reply.status == status, reply.body
    assert says in reply.json()["detail"], reply.body


def test_only_the_right_scopes_reach_them(server: Server, used: str) -> None:
    reader = server.api.create_key("reads", ["functions:read"])["key"]
    others = server.api.create_key("writes", ["functions:write", "deploy", "invoke", "runs:write"])["key"]
    writer = server.api.create_key("writes", ["secrets:write"])["key"]
    server.http.get("/api/v1/secrets", key=reader).expect(200)
    put = {"json_body": {"value": "x-of-a-scope"}}
    server.http.request("PUT", "/api/v1/secrets/SCOPED", key=reader, **put).expect(403)
    server.http.request("PUT", "/api/v1/secrets/SCOPED", key=others, **put).expect(403)
    server.http.request("PUT", "/api/v1/secrets/SCOPED", key=writer, **put).expect(200)
    server.http.post("/api/v1/system/encryption-key/rotate", {}, key=writer).expect(403)


def test_a_deployment_names_the_place_of_what_is_missing(server: Server, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "lacks", "def handler(): return 1\n")
    with (folder / "faas.toml").open("a", encoding="utf-8") as manifest:
        manifest.write('[vars]\nA = "x"\nKEY = "${secrets.LACKING}"\n')
    refused = server.cli("deploy", folder).exits(5)
    line = (folder / "faas.toml").read_text(encoding="utf-8").splitlines().index('KEY = "${secrets.LACKING}"') + 1
    assert f"faas.toml:{line}:" in refused.stderr, refused.stderr
    assert "faas secrets set LACKING" in refused.stderr


def test_every_var_says_where_it_comes_from(server: Server, used: str) -> None:
    server.cli("vars", "set", used, "MOOD=good", "--stage", "dev").ok()
    rows = server.cli("vars", "list", used, "--stage", "dev", "-o", "json").ok().json()["items"]
    sources = {row["key"]: (row["source"], row.get("stage"), row.get("secrets")) for row in rows}
    assert sources == {
        "KEY": ("manifest", None, ["USED"]),
        "GREETING": ("manifest", None, None),
        "PLACE": ("project", "prod", None),
        "MOOD": ("function", "dev", None),
    }
    assert "MOOD" not in server.cli("vars", "list", used).ok().stdout
    server.cli("vars", "unset", used, "MOOD", "--stage", "dev").ok()


def test_a_file_of_vars_stays_its_owners(server: Server, used: str, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    env = tmp_path / ".env"
    env.write_text("# mine\nLOCAL_ONLY=1\nexport GREETING='old'\n", encoding="utf-8")

    def cli(*words: str, exits: int = 0) -> str:
        result = server.cli("vars", *words, cwd=tmp_path).exits(exits)
        assert SECRET not in result.stdout + result.stderr
        return result.stdout + result.stderr

    assert "-GREETING" not in cli("diff", used, exits=1)
    cli("pull", used)
    expected = "# mine\nLOCAL_ONLY=1\nGREETING=hi\n# KEY= (secret USED)\nPLACE=everywhere\n"
    assert env.read_text(encoding="utf-8") == expected
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == "/.env\n"
    cli("pull", used)
    assert env.read_text(encoding="utf-8") == expected
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == "/.env\n"

    env.write_text(expected.replace("LOCAL_ONLY=1\n", "").replace("hi", "hello") + f"TOKEN={TOKEN}\n", "utf-8")
    refused = cli("push", used, exits=5)
    assert "TOKEN: a GitHub token" in refused
    assert "faas secrets set TOKEN" in refused
    assert TOKEN not in refused
    env.write_text(expected.replace("LOCAL_ONLY=1\n", "").replace("hi", "hello") + "KEY=mine\n", "utf-8")
    said = cli("push", used)
    assert "- GREETING=hi" in said
    assert "+ GREETING=hello" in said
    assert "KEY comes from a secret" in said
    rows = {row["key"]: row for row in server.http.get(f"/api/v1/functions/{used}/env").json()["items"]}
    assert (rows["GREETING"]["value"], rows["KEY"]["value"]) == ("hello", "${secrets.USED}")
    cli("diff", used)
    env.write_text("PLACE=everywhere\n", "utf-8")
    cli("push", used)
    assert server.cli("vars", "get", used, "GREETING").ok().stdout == "hello\n", "nothing is removed unasked"
    cli("push", used, "--prune")
    assert server.cli("vars", "get", used, "GREETING").ok().stdout == "hi\n", "the manifest's comes back"
