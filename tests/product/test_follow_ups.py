"""What follows the end of a run: signed callbacks, only to where they may go, and runs of destinations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Reply, Server, until, write_function
from standardwebhooks import Webhook

from product.metrics import sample
from product.receiver import Delivery, Receiver

ADD = "def handler(x: int):\n    return x + 1\n"
BAD = "def handler(x: int):\n    raise ValueError(f'no {x}')\n"
ECHO = "def handler(event, context):\n"
ECHO += "    return {'got': event, 'kind': context.request.headers.get('x-faas-trigger')}\n"
OPEN = {"FAAS_CALLBACKS_ALLOW": "127.0.0.0/8", "FAAS_CALLBACKS_BACKOFF": "50ms", "FAAS_CALLBACKS_ATTEMPTS_MAX": "4"}
ONCE = "[background.retry]\nmax_attempts = 1\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that may call back on loopback."""
    with Server(env=OPEN) as running:
        deploy(running, tmp_path_factory.mktemp("functions"), "add", ADD)
        yield running


@pytest.fixture(scope="module")
def secret(server: Server) -> str:
    """What callbacks are signed with."""
    return str(server.http.post("/api/v1/settings/callback-secret/rotate", {}).expect(200).json()["secret"])


def deploy(server: Server, parent: Path, name: str, code: str, manifest: str = "") -> None:
    folder = write_function(parent, name, code)
    with (folder / "faas.toml").open("a", encoding="utf-8") as file:
        file.write("\n" + manifest)
    server.deploy(folder)


def call(server: Server, function: str, body: Any, url: str) -> Reply:
    return server.http.post(f"/async/{function}", body, headers={"X-Callback-Url": url})


def accepted(server: Server, function: str, body: Any, url: str) -> str:
    return str(call(server, function, body, url).expect(202).json()["run_id"])


def settled(server: Server, run: str, state: str) -> dict[str, Any]:
    """The run once its callback is in a state."""
    until(lambda: server.api.run(run).json()["callback"]["state"] == state, f"the callback of {run} is {state}")
    return dict(server.api.run(run).json())


def verified(delivery: Delivery, secret: str) -> Any:
    """The body of a delivery that the reference library takes for ours."""
    return Webhook(secret).verify(delivery.body, delivery.headers)


def attempts(server: Server, outcome: str) -> float:
    return sample(server, "faas_callbacks_total", outcome=outcome)


def test_a_callback_over_tls_is_for_the_host_that_its_certificate_names() -> None:
    certificate = Path(__file__).with_name("localhost.pem")
    for trusted, state in ((certificate, "delivered"), (None, "abandoned")):
        env = OPEN | ({"SSL_CERT_FILE": str(trusted)} if trusted else {})
        with Receiver(certificate=certificate) as receiver, Server(env=env) as server:
            deploy(server, server.home / "src", "add", ADD)
            for host in ("127.0.0.1", "localhost"):
                settled(server, accepted(server, "add", {"x": 1}, receiver.url("/tls?a=b", host)), state)
            paths = [delivery.path for delivery in receiver.deliveries]
            assert paths == (["/tls?a=b"] * 2 if trusted else [])
            if trusted:
                assert receiver.deliveries[1].headers["host"] == f"localhost:{receiver.port}"


def test_a_callback_tells_of_the_run_and_is_signed(server: Server, secret: str) -> None:
    with Receiver() as receiver:
        run = accepted(server, "add", {"x": 1}, receiver.url("/done?token=7"))
        record = settled(server, run, "delivered")
        assert record["callback"]["attempts"] == 1
        [delivery] = receiver.deliveries
        assert (delivery.path, delivery.headers["webhook-id"]) == ("/done?token=7", run)
        assert delivery.headers["content-type"] == "application/json"
        body = verified(delivery, secret)
        assert (body["type"], body["timestamp"]) == ("run.succeeded", record["finished_at"])
        told = body["data"]
        assert (told["run_id"], told["function"], told["version"]) == (run, "add", 1)
        assert (told["state"], told["result"], told["error"]) == ("succeeded", {"result": 2}, None)
        tampered = Delivery(delivery.path, delivery.headers, delivery.body.replace(b"succeeded", b"cancelled"))
        with pytest.raises(Exception, match="signature"):
            verified(tampered, secret)
    shown = server.cli("runs", "get", run).ok().stdout
    assert "delivered" in shown


def test_a_failed_run_is_told_with_its_error(server: Server, secret: str, tmp_path: Path) -> None:
    deploy(server, tmp_path, "bad", BAD, ONCE)
    with Receiver() as receiver:
        settled(server, accepted(server, "bad", {"x": 3}, receiver.url()), "delivered")
        told = verified(receiver.deliveries[0], secret)["data"]
    assert (told["state"], told["error"]["code"], told["error"]["type"]) == ("failed", "FN_004", "ValueError")
    assert (told["error"]["file"], told["error"]["line"]) == ("main.py", 2)


def test_failures_of_the_receiver_are_tried_again(server: Server, secret: str) -> None:
    failed, abandoned = attempts(server, "failed"), attempts(server, "abandoned")
    with Receiver() as receiver:
        receiver.answers.extend([500, 503])
        run = accepted(server, "add", {"x": 1}, receiver.url())
        assert settled(server, run, "delivered")["callback"]["attempts"] == 3
        assert {delivery.headers["webhook-id"] for delivery in receiver.deliveries} == {run}
        assert len({delivery.body for delivery in receiver.deliveries}) == 1
        for delivery in receiver.deliveries:
            verified(delivery, secret)
        receiver.status = 500
        run = accepted(server, "add", {"x": 1}, receiver.url())
        callback = settled(server, run, "abandoned")["callback"]
        assert (callback["attempts"], callback["message"]) == (4, "answered with 500")
    assert attempts(server, "failed") == failed + 5
    assert attempts(server, "abandoned") == abandoned + 1


def test_nobody_who_listens_is_tried_again(server: Server) -> None:
    with Receiver() as receiver:
        url = receiver.url()
    run = accepted(server, "add", {"x": 1}, url)
    callback = settled(server, run, "abandoned")["callback"]
    assert callback["attempts"] == 4
    assert "refused" in callback["message"]


def test_redirections_are_not_followed(server: Server) -> None:
    with Receiver() as inside, Receiver(302, {"location": inside.url("/inside")}) as receiver:
        run = accepted(server, "add", {"x": 1}, receiver.url())
        assert "redirections are not followed" in settled(server, run, "abandoned")["callback"]["message"]
        assert inside.deliveries == []


def test_urls_that_cannot_be_called_back_are_refused_at_once(server: Server) -> None:
    before = len(server.api.runs("?limit=200"))
    for url in [
        "ftp://example.com/",
        "example.com",
        "http://user:pass@example.com/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://3232235777/",
        "http://0x0a.1/",
        "https://example.com/" + "x" * 3000,
    ]:
        problem = call(server, "add", {"x": 1}, url).expect(400).json()
        assert problem["code"] == "FN_012", url
        assert "X-Callback-Url" in problem["detail"], problem
        assert problem["hint"]
    assert len(server.api.runs("?limit=200")) == before


def test_of_a_name_only_allowed_addresses_are_tried(server: Server) -> None:
    # 127.0.0.0/8 is allowed here, and no more: the name may lead to ::1 too.
    with Receiver() as receiver:
        run = accepted(server, "add", {"x": 1}, receiver.url(host="localhost"))
        settled(server, run, "delivered")


def test_loopback_is_refused_unless_allowed(tmp_path: Path) -> None:
    with Server(env={"FAAS_CALLBACKS_ATTEMPTS_MAX": "1"}) as server, Receiver() as receiver:
        deploy(server, tmp_path, "add", ADD)
        assert call(server, "add", {"x": 1}, receiver.url()).expect(400).json()["code"] == "FN_012"
        run = accepted(server, "add", {"x": 1}, receiver.url(host="localhost"))
        callback = settled(server, run, "abandoned")["callback"]
        assert (callback["attempts"], receiver.deliveries) == (1, [])
        # A name that leads nowhere has the same words: who calls back must not learn which names there are inside.
        run = accepted(server, "add", {"x": 1}, "http://nowhere.invalid/")
        nowhere = settled(server, run, "abandoned")["callback"]
        assert nowhere["message"] == callback["message"].replace("localhost", "nowhere.invalid")
        assert "no address that callbacks may go to" in callback["message"]
        assert server.stop() == 0
        server.env["FAAS_CALLBACKS_ALLOW"] = "localhost"
        server.start()
        settled(server, accepted(server, "add", {"x": 1}, receiver.url(host="localhost")), "delivered")
        assert call(server, "add", {"x": 1}, receiver.url()).status == 400


def test_both_secrets_of_a_change_verify(server: Server, secret: str) -> None:
    rotated = server.cli("callbacks", "rotate", "--keep", "1h", "-o", "json").ok().json()
    assert (rotated["number"], rotated["live"]) == (2, 2)
    with Receiver() as receiver:
        settled(server, accepted(server, "add", {"x": 1}, receiver.url()), "delivered")
        for live in (secret, rotated["secret"]):
            verified(receiver.deliveries[0], live)
    assert (
        server.http.post("/api/v1/settings/callback-secret/rotate", {"keep": "800h"}).expect(422).json()["code"]
        == "FN_006"
    )
    last = server.http.post("/api/v1/settings/callback-secret/rotate", {"keep": "0s"}).expect(200).json()
    assert server.http.get("/api/v1/settings/callback-secret").expect(200).json() == {"number": 3, "live": 1}
    with Receiver() as receiver:
        settled(server, accepted(server, "add", {"x": 1}, receiver.url()), "delivered")
        verified(receiver.deliveries[0], last["secret"])
        with pytest.raises(Exception, match="signature"):
            verified(receiver.deliveries[0], secret)
    database = b"".join(path.read_bytes() for path in server.data.glob("faas.db*"))
    assert last["secret"].removeprefix("whsec_").encode() not in database


def test_a_callback_survives_a_restart() -> None:
    with Receiver(500) as receiver, Server(env={**OPEN, "FAAS_CALLBACKS_BACKOFF": "2s"}) as own:
        deploy(own, own.home / "src", "add", ADD)
        run = accepted(own, "add", {"x": 1}, receiver.url())
        until(lambda: receiver.deliveries, "the first attempt")
        own.kill()
        receiver.status = 204
        own.start()
        settled(own, run, "delivered")


def test_destinations_go_on(server: Server, tmp_path: Path) -> None:
    deploy(server, tmp_path, "echo", ECHO)
    deploy(server, tmp_path, "fails", BAD, '[background]\non_failure = "echo"\n' + ONCE)
    deploy(server, tmp_path, "works", ADD, '[background]\non_success = "echo"\n')
    for function, state in [("works", "succeeded"), ("fails", "failed")]:
        run = server.http.post(f"/async/{function}", {"x": 4}).expect(202).json()["run_id"]
        record = server.http.get(f"/api/v1/runs/{run}?wait=30s").expect(200).json()
        assert (record["state"], record["destination"]["function"]) == (state, "echo")
        after = server.http.get(f"/api/v1/runs/{record['destination']['run_id']}?wait=30s").expect(200).json()
        assert (after["state"], after["parent_run_id"], after["trigger"]) == ("succeeded", run, "destination")
        got = after["result"]["got"]
        assert (got["type"], got["data"]["run_id"], after["result"]["kind"]) == (f"run.{state}", run, "destination")
        assert server.http.get(got["data"]["input"]).expect(200).json()["json"] == {"x": 4}
        listed = server.api.runs("?trigger=destination")
        assert after["id"] in {run["id"] for run in listed}


def test_a_destination_must_be_there(server: Server, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "lost", ADD)
    with (folder / "faas.toml").open("a", encoding="utf-8") as file:
        file.write('\n[background]\non_success = "nobody"\n')
    failed = server.cli("deploy", folder).exits(5)
    assert "background.on_success" in failed.stderr
    assert "nobody" in failed.stderr
    deploy(server, tmp_path, "brief", ADD)
    deploy(server, tmp_path, "sender", ADD, '[background]\non_success = "brief"\n')
    server.http.request("DELETE", "/api/v1/functions/brief").expect(204)
    run = server.http.post("/async/sender", {"x": 1}).expect(202).json()["run_id"]
    record = server.http.get(f"/api/v1/runs/{run}?wait=30s").expect(200).json()
    assert record["state"] == "succeeded"
    assert "run_id" not in record["destination"]
    assert "brief" in record["destination"]["message"]


def test_a_destination_takes_runs_however_many_wait(server: Server, tmp_path: Path) -> None:
    deploy(server, tmp_path, "narrow", ECHO, "[background]\nbacklog_max = 1\n")
    deploy(server, tmp_path, "wide", ADD, '[background]\non_success = "narrow"\n')
    server.http.post("/api/v1/functions/narrow/pause").expect(200)
    runs = [server.http.post("/async/wide", {"x": n}).expect(202).json()["run_id"] for n in range(3)]
    ended = [server.http.get(f"/api/v1/runs/{run}?wait=30s").expect(200).json() for run in runs]
    assert all("run_id" in run["destination"] for run in ended)
    assert server.api.function("narrow")["waiting_runs"] == 3
    assert server.http.post("/async/narrow", {}).status == 429
    server.http.post("/api/v1/functions/narrow/resume").expect(200)
    for run in ended:
        after = server.http.get(f"/api/v1/runs/{run['destination']['run_id']}?wait=30s").expect(200).json()
        assert after["state"] == "succeeded"
    until(lambda: server.api.function("narrow")["waiting_runs"] == 0, "nothing waits")
