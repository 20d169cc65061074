"""Words of other tools do what is meant or say what to type; what commands print as JSON is the API's own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from harness import Server, write_function

from product.command_tree import bare_cli
from product.functions import ADD

# What does the same as the words behind it. NAME is a function that is there.
ACTS = {
    "ls": "functions list",
    "list": "functions list",
    "-o json ls": "functions list",
    "fn": "functions list",
    "fn list": "functions list",
    "fn ls": "functions list",
    "function list": "functions list",
    "functions ls": "functions list",
    "functions list --limit 1": "functions list -n 1",
    "fn describe NAME": "functions get NAME",
    "fn show NAME": "functions get NAME",
    "function inspect NAME": "functions get NAME",
    "fn info NAME": "functions get NAME",
    "fn versions NAME": "versions list NAME",
    "fn deployments NAME": "deployments list NAME",
    "fn diff NAME 1 2": "versions diff NAME 1 2",
    "fn build-log NAME 1": "versions log NAME 1",
    "version": "version",
    "versions ls NAME": "versions list NAME",
    "deployment list NAME": "deployments list NAME",
    "alias list NAME": "aliases list NAME",
    "aliases ls NAME": "aliases list NAME",
    "run list": "runs list",
    "run ls": "runs list",
    "runs --limit 3": "runs list -n 3",
    "secret list": "secrets list",
    "secret ls": "secrets list",
    "key ls": "keys list",
    "keys": "keys list",
    "tokens list": "keys list",
    "trigger list NAME": "triggers list NAME",
    "topic ls": "topics list",
    "dlq ls": "dead-letters list",
    "dead-letter list": "dead-letters list",
    "layer ls": "layers list",
    "profile ls": "profiles list",
    "contexts list": "profiles list",
    "profile show": "profiles get",
    "var ls NAME": "vars list NAME",
    "vars show NAME GREETING": "vars get NAME GREETING",
    "network show NAME": "network get NAME",
    "preflight get": "settings upload-policy get",
    "settings preflight show": "settings upload-policy get",
    "callbacks secret": "settings callbacks get",
    "callback show": "settings callbacks get",
    "auth whoami": "whoami",
    "log NAME --limit 5": "logs NAME -n 5",
    "logs NAME --lines 5": "logs NAME -n 5",
    "collect --dry-run": "gc --dry-run",
    "completions bash": "completion bash",
}
# What says what to type.
TELLS = {
    "ps": "faas functions list",
    "rm NAME": "faas functions delete NAME",
    "delete NAME": "faas functions delete NAME",
    "describe NAME": "faas functions get NAME",
    "undeploy NAME": "faas functions delete NAME",
    "stop NAME": "faas functions pause",
    "run NAME": "faas invoke NAME",
    "call NAME": "faas invoke NAME",
    "tail NAME": "faas logs NAME",
    "push": "faas deploy",
    "publish NAME": "faas deploy NAME",
    "new hello": "faas init hello",
    "serve": "faas up",
    "start": "faas up",
    "health": "faas status",
    "runtimes": "faas status",
    "instances": "faas status",
    "prune": "faas gc",
    "cron": "faas triggers",
    "webhooks": "faas triggers",
    "config": "faas vars",
    "users": "faas keys",
    "stats": "faas functions metrics",
    "undo NAME": "faas rollback NAME",
    "versions NAME": "faas versions list NAME",
    "aliases NAME": "faas aliases list NAME",
    "dashboard": "faas status",
    "docs": "faas --help",
    "vars set --project A=b": "--shared",
}
# What is for sandboxes by hand.
UNBUILT = [
    "exec ls",
    "execute ls",
    "env list",
    "env create x",
    "env get x",
    "env ls",
    "environments list",
    "sandbox exec x",
]
UNBUILT += ["snapshot create", "snapshots list", "executions list"]
# What destroys, and how it goes on after "cannot ask whether to".
DESTROYS = {
    "functions delete NAME": "delete `NAME`",
    "fn rm NAME": "delete `NAME`",
    "keys revoke key_01JD2Z7Y5T0000000000000000": "revoke key",
    "key rm ci": "revoke key `ci`",
    "secrets delete STRIPE": "delete secret `STRIPE` of stage prod",
    "secret rm STRIPE": "delete secret `STRIPE` of stage prod",
    "topics purge orders": "purge the messages of topic `orders`",
    "topics clear orders": "purge the messages of topic `orders`",
    "dead-letters purge --all": "purge every dead letter",
    "dlq purge --function NAME": "purge all dead letters that match",
    "dlq purge run_01JD2Z7Y5T0000000000000000": "purge 1 dead letter",
    "layers delete utils:1": "delete layer utils:1",
    "layers rm utils --all": "delete layer utils with all versions",
    "triggers delete NAME daily": "delete trigger `daily` of `NAME`",
    "aliases delete NAME staging": "delete alias `staging` of `NAME`",
    "settings upload-policy reset": "reset the project's upload rules",
}
# What the API answers to a route is what the command prints.
BODIES = {
    "functions list": "functions?limit=200",
    "functions list -n 1": "functions?limit=1",
    "functions get NAME": "functions/NAME",
    "functions url NAME": "functions/NAME",
    "versions list NAME": "functions/NAME/versions?limit=200",
    "versions diff NAME 1 2": "functions/NAME/versions/2/diff?against=1",
    "deployments list NAME": "functions/NAME/deployments",
    "aliases list NAME": "functions/NAME/aliases",
    "triggers list NAME": "functions/NAME/triggers",
    "network get NAME": "functions/NAME/network",
    "keys list": "keys",
    "whoami": "whoami",
    "secrets list": "secrets",
    "topics list": "topics",
    "layers list": "layers?limit=200",
    "layers list --packages": "package-layers?limit=200",
    "dead-letters list": "dead-letters",
    "settings upload-policy get": "settings/upload-policy",
    "settings callbacks get": "settings/callback-secret",
}


@pytest.fixture(scope="module")
def here(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A function with two versions and an alias."""
    name = "habits"
    folder = write_function(tmp_path_factory.mktemp("habits"), name, ADD)
    manifest = folder / "faas.toml"
    for mood in ("one", "two"):
        (folder / "note.txt").write_text(mood, encoding="utf-8")
        if mood == "two":
            manifest.write_text(manifest.read_text(encoding="utf-8") + '\n[vars]\nGREETING = "hi"\n', encoding="utf-8")
        shared_server.deploy(folder)
    shared_server.cli("aliases", "set", name, "staging", "1").ok()
    return name


def spoken(line: str, name: str) -> list[str]:
    return [word.replace("NAME", name) for word in line.split()]


def timeless(text: str) -> list[str]:
    """Its words without how long ago things were."""
    return re.sub(r"\d+[smhd] ago|in \d+[smhd]", "ago", text).split()


def test_habits_do_what_is_meant(shared_server: Server, here: str) -> None:
    wrong = []
    for habit, meant in ACTS.items():
        expected = shared_server.cli(*spoken(meant, here)).ok()
        given = shared_server.cli(*spoken(habit, here))
        # One was asked for in JSON on the way.
        same = timeless(given.stdout) == timeless(expected.stdout) or (
            habit.startswith("-o json") and json.loads(given.stdout)
        )
        if given.code != 0 or not same:
            wrong.append(f"{habit}: {given.code}\n{given.stdout}\n{given.stderr}\nnot\n{expected.stdout}")
    assert not wrong, "\n".join(wrong)


def test_json_is_asked_for_in_two_ways(shared_server: Server, here: str) -> None:
    for words in (
        ["functions", "get", here],
        ["keys", "list"],
        ["status"],
        ["runs"],
        ["version"],
        ["explain", "FN_004"],
    ):
        by_name = shared_server.cli(*words, "--json").ok().json()
        assert by_name.keys() == shared_server.cli(*words, "-o", "json").ok().json().keys(), words


def test_other_habits_say_what_to_type(shared_server: Server, here: str) -> None:
    wrong = []
    for habit, typed in TELLS.items():
        given = shared_server.cli(*spoken(habit, here))
        hint = next((line for line in given.stderr.splitlines() if line.startswith("  hint: ")), "")
        if given.code != 2 or given.stdout or typed.replace("NAME", here) not in hint.replace("NAME", here):
            wrong.append(f"{habit}: {given.code} {given.stderr}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("line", UNBUILT)
def test_what_is_not_built_says_so(tmp_path: Path, line: str) -> None:
    refused = bare_cli(tmp_path)(*line.split()).exits(1)
    assert "is not built yet" in refused.stderr and refused.stdout == ""


def test_what_destroys_is_not_done_unasked(shared_server: Server, here: str) -> None:
    wrong = []
    for line, act in DESTROYS.items():
        refused = shared_server.cli(*spoken(line, here))
        told = f"cannot ask whether to {act.replace('NAME', here)}"
        if refused.code != 2 or refused.stdout or told not in refused.stderr or "add --yes to" not in refused.stderr:
            wrong.append(f"{line}: {refused.code} {refused.stderr}")
    assert not wrong, "\n".join(wrong)
    assert shared_server.api.function(here)["name"] == here


def test_json_is_the_body_of_the_api(shared_server: Server, here: str) -> None:
    wrong = []
    for line, route in BODIES.items():
        body = shared_server.http.get(f"/api/v1/{route.replace('NAME', here)}").expect(200).json()
        printed = shared_server.cli(*spoken(line, here), "-o", "json").ok().json()
        if steady(printed) != steady(body):
            wrong.append(f"{line}: {printed}\nnot\n{body}")
    assert not wrong, "\n".join(wrong)


def steady(body: object) -> object:
    """Without what changes by itself between two looks."""
    moving = {"next_cursor", "instances", "updated_at", "waiting_runs", "status", "last_used_at", "usage"}
    if isinstance(body, dict):
        return {key: steady(value) for key, value in body.items() if key not in moving}
    return [steady(one) for one in body] if isinstance(body, list) else body


def test_what_the_api_answers_without_a_body_prints_nothing(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, ADD))
    deployed = server.cli("deploy", tmp_path / name, "-o", "json").ok().json()
    assert deployed["function"] == name and not {"event", "upload", "changes", "took_ms"} & deployed.keys()
    server.cli("aliases", "set", name, "staging", "1").ok()
    server.cli("triggers", "create", name, "cron", "--schedule", "@daily", "--name", "daily").ok()
    server.cli("vars", "set", name, "MOOD=good").ok()
    server.cli("secrets", "set", "HABIT", stdin="a-secret-value").ok()
    server.cli("keys", "create", name, "--scope", "invoke").ok()
    for words in (
        ["aliases", "delete", name, "staging", "--yes"],
        ["triggers", "delete", name, "daily", "--yes"],
        ["vars", "delete", name, "MOOD"],
        ["secrets", "delete", "HABIT", "--yes"],
        ["keys", "revoke", name, "--yes"],
        ["functions", "delete", name, "--yes"],
    ):
        done = server.cli(*words, "-o", "json").ok()
        assert done.stdout == "" and done.stderr == "", words


def test_a_failure_is_json_where_json_is_asked_for(shared_server: Server, here: str) -> None:
    for form in (["-o", "json"], ["--json"], ["-o", "ndjson"], ["--output=json"]):
        problem = json.loads(shared_server.cli("functions", "get", "no-such", *form).exits(4).stderr.splitlines()[-1])
        body = shared_server.http.get("/api/v1/functions/no-such").expect(404).json()
        assert {**problem, "request_id": ""} == {**body, "request_id": ""}
        for words, exit_code in (
            (["functions", "gte", here], 2),
            (["runs", "--state", "x"], 2),
            (["keys", "rm", "x"], 2),
        ):
            failed = shared_server.cli(*words, *form).exits(exit_code)
            told = json.loads(failed.stderr.splitlines()[-1])
            assert (told["exit_code"], failed.stdout) == (exit_code, "") and told["detail"], words
    unreachable = shared_server.cli("status", "--json", env={"FAAS_ENDPOINT": "http://127.0.0.1:1"}).exits(9)
    assert "cannot reach" in json.loads(unreachable.stderr.splitlines()[-1])["detail"]
