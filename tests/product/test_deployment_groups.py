"""Several functions in one manifest: they move together, forwards and back, or not at all."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from harness import Server, until

from product.blobs import upload

SLOW_START = "import time\ntime.sleep(2)\n"


def code(word: str, before: str = "") -> str:
    return f"{before}def handler():\n    return '{word}'\n"


class Shop:
    """A project of two functions, one in a directory of its own, with what they share on top."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.cart, self.till = f"{name[:50]}-cart", f"{name[:50]}-till"
        self.write("1", "1")

    def write(self, cart: str, till: str) -> Path:
        """The code of both."""
        (self.folder / "till").mkdir(parents=True, exist_ok=True)
        (self.folder / "cart.py").write_text(code(cart), encoding="utf-8")
        (self.folder / "till" / "main.py").write_text(code(till), encoding="utf-8")
        (self.folder / "faas.toml").write_text(
            f"runtime = 'python'\ntimeout = '9s'\n[vars]\nSHOP = 'one'\n"
            f"[functions.{self.cart}]\nentrypoint = 'cart:handler'\n"
            f"[functions.{self.till}]\npath = 'till'\nbackground = {{ on_success = '{self.cart}' }}\n",
            encoding="utf-8",
        )
        return self.folder


@pytest.fixture
def shop(tmp_path: Path, name: str) -> Shop:
    return Shop(tmp_path / "shop", name)


def said(server: Server, name: str) -> Any:
    return server.api.invoke(name).expect(200).json()["result"]


def versions(server: Server, shop: Shop) -> tuple[int, int]:
    return server.api.function(shop.cart)["version"], server.api.function(shop.till)["version"]


def test_they_deploy_and_roll_back_together(server: Server, shop: Shop) -> None:
    first = server.deploy(shop.folder)
    names = [one["function"] for one in first["deployments"]]
    assert names == sorted([shop.cart, shop.till]), "a destination among them needs no deployment before"
    assert {one["group"] for one in first["deployments"]} == {first["id"]}
    assert server.api.function(shop.till)["settings"]["timeout"] == "9s", "what they share reaches each"
    second = server.deploy(shop.write("2", "2"), "-m", "both")
    assert (said(server, shop.cart), said(server, shop.till)) == ("2", "2")
    back = server.cli("rollback", "--group", second["id"], "-o", "json").ok().json()
    assert [one["version"] for one in back["deployments"]] == [1, 1]
    assert (said(server, shop.cart), said(server, shop.till)) == ("1", "1")
    forth = server.cli("rollback", "--group", back["id"], "-o", "json").ok().json()
    assert [one["version"] for one in forth["deployments"]] == [2, 2], "a rollback is undone like anything else"


def test_one_that_does_not_load_holds_all_back(server: Server, shop: Shop) -> None:
    server.deploy(shop.folder)
    shop.write("2", "2")
    (shop.folder / "till" / "main.py").write_text("raise RuntimeError('no luck')\n" + code("2"), encoding="utf-8")
    result = server.cli("deploy", shop.folder).exits(5)
    assert "FN_005" in result.stderr
    assert shop.till in result.stderr, "the error names the function"
    assert versions(server, shop) == (1, 1)
    assert server.api.function(shop.cart)["latest_version"] == 1, "no version was made of the one that loads"
    assert (said(server, shop.cart), said(server, shop.till)) == ("1", "1")
    assert server.deploy(shop.write("3", "3"))["deployments"][0]["version"] == 2


def test_only_one_of_them(server: Server, shop: Shop) -> None:
    server.deploy(shop.folder)
    deployed = server.deploy(shop.write("2", "2"), "--only", shop.cart)
    assert deployed["function"] == shop.cart
    assert versions(server, shop) == (2, 1)
    assert shop.cart in server.cli("deploy", shop.folder, "--only", "other").exits(2).stderr


def test_a_rollback_says_what_it_cannot_move(server: Server, shop: Shop) -> None:
    first = server.deploy(shop.folder)
    refused = server.cli("rollback", "--group", first["id"]).exits(4)
    assert "none had a version before" in refused.stderr
    second = server.deploy(shop.write("2", "2"))
    server.deploy(shop.write("3", "2"), "--only", shop.cart)
    result = server.cli("rollback", "--group", second["id"]).exits(6)
    assert "serves version 3 since, not 2" in result.stderr
    assert versions(server, shop) == (3, 2), "nothing has moved"
    server.cli("rollback", shop.cart, "--to", "2").ok()
    server.cli("fn", "delete", shop.till, "--yes").ok()
    result = server.cli("rollback", "--group", second["id"]).ok()
    assert f"{shop.till} stays as it is: it was deleted since" in result.stderr
    assert server.api.function(shop.cart)["version"] == 1
    server.cli("rollback", "--group", "dgr_01JD2Z7Y5T0000000000000000").exits(4)


def test_two_at_once_never_wait_for_each_other(server: Server, shop: Shop) -> None:
    """Each deployment holds all of its functions, or is refused at once; in either order of the request."""
    a, b = shop.cart, shop.till
    files = upload(server, {"main.py": SLOW_START + code("slow")})
    quick = upload(server, {"main.py": code("quick")})

    def ask(names: list[str], which: list[dict[str, Any]]) -> Any:
        body = {"functions": [{"manifest": {"name": name}, "files": which} for name in names]}
        return server.http.request(
            "POST",
            "/api/v1/deployment-groups",
            json_body=body,
            headers={"Prefer": "wait=60"},
            timeout=90,
        )

    replies: list[Any] = []

    def deploy_slowly() -> None:
        while not replies or replies[-1].status == 409:
            replies.append(ask([a, b], files))

    slow = threading.Thread(target=deploy_slowly)
    slow.start()

    def refused() -> bool:
        reply = ask([b, a], quick)
        return reply.status == 409 and reply.json()["code"] == "FN_014"

    until(refused, "the second one is refused while the first is under way", within=20, every=0.05)
    slow.join(60)
    assert replies[-1].status == 201


@pytest.mark.parametrize("functions", [0, 33])
def test_how_many_there_may_be(server: Server, name: str, functions: int) -> None:
    body = {"functions": [{"manifest": {"name": f"{name[:50]}-{n}"}, "files": []} for n in range(functions)]}
    assert server.http.post("/api/v1/deployment-groups", body).expect(422).json()["code"] == "FN_006"


def test_one_twice_is_refused(server: Server, name: str) -> None:
    body = {"functions": [{"manifest": {"name": name}, "files": []}] * 2}
    problem = server.http.post("/api/v1/deployment-groups", body).expect(422).json()
    assert problem["code"] == "FN_006"
    assert "twice" in problem["detail"]


def test_validate_checks_each(server: Server, shop: Shop) -> None:
    report = server.cli("validate", shop.folder, "-o", "json").ok().json()
    assert [one["name"] for one in report["functions"]] == sorted([shop.cart, shop.till])
    (shop.folder / "till" / "main.py").write_text("def handler(:\n", encoding="utf-8")
    assert server.cli("validate", shop.folder, "-o", "json").exits(5).json()["findings"][0]["rule"] == "syntax"
