"""The command line says what was meant, what to try and when: wrong words, empty lists, times, whose server it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from harness import Server, until, write_function

from product.command_tree import bare_cli
from product.functions import ADD

FAILS_TWICE = """
count = 0

def handler(event, context):
    global count
    count += 1
    print(f"try {count}")
    if count < 3:
        raise ValueError("not yet")
    return count
"""


def with_retries(folder: Path, policy: str) -> Path:
    manifest = folder / "faas.toml"
    manifest.write_text(f"{manifest.read_text()}[background.retry]\n{policy}\n")
    return folder


@pytest.fixture
def add(server: Server, tmp_path: Path, name: str) -> str:
    server.deploy(write_function(tmp_path, name, ADD))
    return name


def test_a_wrong_word_leads_to_the_right_one(server: Server, add: str) -> None:
    for words, meant in [
        (["rm", add], f"faas functions delete {add}"),
        (["delete", add, "--yes"], f"faas functions delete {add} --yes"),
        (["serve"], "faas up"),
        (["keys", "forget", "ci"], "faas keys --help"),
        (["versions", add], f"faas versions list {add}"),
        (["canary", "start", add], "[canary]"),
        (["deploy", "--canary", "10"], "[canary]"),
    ]:
        told = server.cli(*words).exits(2).stderr
        assert meant in told and "execute" not in told, told
    assert f"did you mean `{add}`" in server.cli("invoke", add[:-1]).exits(4).stderr
    assert f"did you mean `{add}`" in server.cli("fn", "get", add + "x").exits(4).stderr
    value = server.cli("secrets", "set", "STRIPE", "sk_live_x").exits(2).stderr
    assert "printf" in value and "sk_live_x" not in value


def test_a_group_alone_lists(server: Server, add: str) -> None:
    assert add in server.cli("fn").ok().stdout
    assert {row["name"] for row in server.cli("fn", "-o", "json").ok().json()["items"]} >= {add}
    for group in ("vars", "triggers", "secrets", "keys", "topics", "layers", "dlq", "profile"):
        server.cli(group).ok()
    assert "Usage" in server.cli("alias").exits(2).stderr


def test_an_empty_list_says_what_to_try(tmp_path: Path) -> None:
    with Server() as server:
        for words, tried in [
            (["fn", "list"], "faas deploy"),
            (["secrets", "list"], "faas secrets set"),
            (["layers", "list"], "faas layers publish"),
            (["vars", "list"], "faas vars set"),
            (["triggers", "list"], "faas triggers create"),
            (["topics", "list"], "faas topics send"),
            (["runs", "list"], "faas invoke"),
            (["dlq", "list"], "no dead letters"),
        ]:
            shown = server.cli(*words).ok()
            assert shown.stdout == "" and tried in shown.stderr, shown
            assert server.cli(*words, "-o", "json").ok().stderr == ""


def test_schedules_speak_of_their_own_zone(server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, ADD)
    manifest = folder / "faas.toml"
    schedule = '[[triggers]]\ntype = "cron"\nname = "nightly"\nschedule = "30 2 * * *"\ntimezone = "Europe/Berlin"\n'
    manifest.write_text(manifest.read_text() + schedule)
    deployed = server.cli("deploy", folder).ok()
    tick = r"\d{4}-\d\d-\d\d 02:30 Europe/Berlin, in \d+[smh]"
    assert re.search(f"nightly fires next at {tick}", deployed.stderr), deployed.stderr
    told = server.cli("triggers", "next", name, "nightly", "--count", "2").ok().stdout.splitlines()
    assert len(told) == 2 and re.fullmatch(tick, told[0]), told
    row = next(line for line in server.cli("triggers", "list").ok().stdout.splitlines() if f"{name}/nightly" in line)
    pasted = re.search(r"--schedule '(.*)' --timezone (\S+)", row)
    assert pasted, row
    words = ["--schedule", pasted[1], "--timezone", pasted[2]]
    server.cli("triggers", "add", name, "cron", *words, "--name", "copy").ok()
    server.cli("triggers", "disable", name, "nightly").ok()
    off = server.cli("triggers", "next", name, "nightly").ok()
    assert off.stdout == "" and f"faas triggers enable {name} nightly" in off.stderr
    for wrong, why in [("0 25 * * *", "hour 25"), ("TZ=UTC 0 9 * * *", "`timezone`"), ("*/90 * * * *", "1 to 60")]:
        refused = server.cli("triggers", "add", name, "cron", "--schedule", wrong).exits(5).stderr
        assert why in refused and "Component" not in refused, refused


def test_a_key_is_revoked_by_its_name(server: Server, name: str) -> None:
    server.cli("keys", "create", name, "--scope", "invoke").ok()
    server.cli("keys", "create", name, "--scope", "invoke").ok()
    assert "2 active keys" in server.cli("keys", "revoke", name, "--yes").exits(6).stderr
    rows = [row for row in server.cli("keys", "list", "-o", "json").ok().json()["items"] if row["name"] == name]
    server.cli("keys", "revoke", rows[0]["id"], "--yes").ok()
    server.cli("keys", "revoke", name, "--yes").ok()
    assert "no active key" in server.cli("keys", "revoke", name, "--yes").exits(4).stderr


def test_a_retried_run_shows_its_attempts(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(with_retries(write_function(tmp_path, name, FAILS_TWICE), 'backoff = "1s"\nbackoff_max = "1s"'))
    run = server.cli("invoke", name, "--async", "-d", "{}").ok().stdout.strip()
    server.api.finished(run)
    shown = server.cli("runs", "get", run).ok().stdout
    assert re.search(r"attempt 2 +after [\d.]+ m?s, (cold|warm), waited", shown), shown
    assert "pause" in shown and not re.search(r"^start ", shown, re.M), shown
    until(lambda: "try 3" in server.cli("runs", "logs", run).ok().stdout, "the last attempt's line is stored")
    log = server.cli("runs", "logs", run).ok().stdout
    marks = [line for line in log.splitlines() if "attempt" in line or "try" in line]
    assert [re.sub(r".*(try \d|attempt \d).*", r"\1", mark) for mark in marks if "Error" not in mark][-1] == "try 3"
    assert "--- attempt 2 ---" in log and "--- attempt 3 ---" in log, log


def test_replay_is_offered_only_where_the_input_is_kept(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, "def handler():\n    raise ValueError('no')\n"))
    waited = server.api.invoke(name, {}).headers["x-run-id"]
    server.api.finished(waited)
    assert "runs replay" not in server.cli("runs", "get", waited).ok().stdout
    once = write_function(tmp_path / "once", name, "def handler():\n    raise ValueError('no')\n")
    server.deploy(with_retries(once, "max_attempts = 1"))
    kept = server.cli("invoke", name, "--async").ok().stdout.strip()
    server.api.finished(kept)
    assert f"faas runs replay {kept} --current" in server.cli("runs", "get", kept).ok().stdout


def test_a_split_is_seen_in_the_list(server: Server, tmp_path: Path, add: str) -> None:
    server.deploy(write_function(tmp_path / "again", add, ADD + "\n# 2\n"))
    server.cli("alias", "set", add, "live", "1=90", "2=10").ok()
    row = next(line for line in server.cli("fn", "list").ok().stdout.splitlines() if line.startswith(add))
    assert "1 + 10 % to 2" in row, row
    told = server.cli("canary", "status", add).exits(4).stderr
    assert "10 %" in told and "version 2" in told, told


def test_https_to_a_plain_server_says_so(server: Server) -> None:
    told = server.cli("fn", "list", env={"FAAS_ENDPOINT": f"https://127.0.0.1:{server.port}"}).exits(9).stderr
    assert "without TLS" in told and "http://127.0.0.1" in told, told


def test_another_server_does_not_take_the_command_line_over(tmp_path: Path) -> None:
    home = tmp_path / "home"
    env = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
    user = bare_cli(home)

    def chosen() -> str:
        return user("profile", "show", "-o", "json").ok().json()["endpoint"]

    with Server(env=env) as first:
        until(lambda: user("profile", "list").ok().stdout, "the first server is known")
        before = chosen()
        with Server(env=env) as second:
            until(
                lambda: len(user("profile", "list", "-o", "json").ok().json()["profiles"]) == 2, "the second is known"
            )
            assert chosen() == before and str(first.port) in before
            assert f"faas profiles use http://127.0.0.1:{second.port}" in second.log()
    with Server(env=env) as third:
        until(lambda: str(third.port) in chosen(), "a server that has gone is no longer the default")


def test_a_function_without_an_http_trigger_shows_no_url(server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, ADD)
    manifest = folder / "faas.toml"
    manifest.write_text(f'{manifest.read_text()}[[triggers]]\ntype = "cron"\nschedule = "0 9 * * *"\n')
    told = server.cli("deploy", folder).ok().stdout
    assert "no http trigger" in told and "http://" not in told, told
    assert "no http trigger" in server.cli("fn", "url", name).exits(1).stderr
    url = f"http://127.0.0.1:{server.port}/fn/{name}"
    assert url not in server.cli("fn", "list").ok().stdout
    assert url not in server.cli("fn", "get", name).ok().stdout
    server.cli("deploy", folder, "-m", "again").ok()
    assert "no http trigger" in server.cli("rollback", name, "--to", "1").ok().stdout


def test_a_missing_package_says_that_it_was_not_installed(server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, "import requests\n\n\ndef handler(event, context):\n    return 1\n")
    poetry = '[tool.poetry.dependencies]\npython = "^3.10"\nrequests = "^2"\n'
    (folder / "pyproject.toml").write_text(poetry)
    failed = server.cli("deploy", folder)
    assert "not installed:" in failed.stderr and "poetry lock" in failed.stderr, failed


def test_what_is_named_wrongly_is_told_how_to_name_it(server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, ADD)
    empty = tmp_path / "x.env"
    empty.write_text("# nothing\n")
    (tmp_path / "x.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    for words, meant in [
        (["deploy", "https://example.org/a/b.git"], "git+https://example.org/a/b.git"),
        (["deploy", "git@example.org:a/b.git"], "--git ssh://git@example.org/a/b.git"),
        (["deploy", folder / "faas.toml"], f"name its directory: {folder}"),
        (["validate", tmp_path / "x.zip"], "which only deploy takes"),
        (["vars", "set", name, "--file", empty], "x.env has no KEY=VALUE"),
    ]:
        told = server.cli(*words).exits(2).stderr
        assert meant in told, told
    server.cli("deploy", folder).ok()
    for schedule in ("@every 5m", "rate(5 minutes)", "cron(0 9 * * ? *)"):
        told = server.cli("triggers", "add", name, "cron", "--schedule", schedule).stderr
        assert "*/5 * * * *" in told and "keys are those" not in told, told
    assert "faas secrets list" in server.cli("secrets", "unset", "NOPE", "--yes").stderr


def test_one_file_is_tested_with_the_cases_beside_it(server: Server, tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(ADD)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "sum.json").write_text(
        '{"request": {"body": {"x": 1, "y": 2}}, "expect": {"json": {"result": 3}}}'
    )
    assert "1 passed, 0 failed" in server.cli("test", tmp_path / "one.py").ok().stdout


@pytest.mark.needs("node")
def test_a_byte_order_mark_is_no_fault(server: Server, tmp_path: Path, name: str) -> None:
    package = '\ufeff{"type": "module"}'
    files = {"index.js": "export const handler = () => ({ ok: true });\n", "package.json": package}
    server.deploy(write_function(tmp_path, name, files, runtime="node", entrypoint="index:handler"))
    assert server.api.invoke(name).expect(200).json() == {"ok": True}
    event = tmp_path / "event.json"
    event.write_text('\ufeff{"specversion": "1.0", "id": "1", "source": "/x", "type": "bom.seen"}')
    server.cli("events", "publish", f"@{event}").ok()
