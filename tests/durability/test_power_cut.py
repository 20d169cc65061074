"""What was accepted is still there after the disk has lost all that was not fsynced."""

from __future__ import annotations

import os
import random
import time

import pytest
from harness import Server, until, write_function
from harness.disk import PowerCutDisk

from durability.ledger import Ledger, Senders, until_quiet
from durability.test_accepted import QUICK, assert_each_ended_once, count_ends

LONG = os.environ.get("FAAS_LONG") == "1"
CUTS, RUNS = (50, 10_000) if LONG else (3, 600)


@pytest.mark.needs("root", "power_cuts")
def test_no_accepted_run_is_lost_and_none_ends_twice_over_power_cuts() -> None:
    ledger, dice = Ledger(), random.Random(4)
    with PowerCutDisk() as disk, Server(data=disk.path / "data") as server:
        server.deploy(write_function(server.home / "src", "work", QUICK, scaling={"max": 4}))
        assert server.stop() == 0
        count_ends(server)
        server.start()
        key = server.key
        senders = Senders(server, "work", ledger, RUNS).start()
        for cut in range(1, CUTS + 1):
            goal = RUNS * cut // (CUTS + 1)
            until(lambda goal=goal: senders.accepted() >= goal, f"{goal} promises", within=180, every=0.005)
            time.sleep(dice.random() * 0.05)
            disk.cut(server.pid)
            server.kill()
            disk.power_on()
            server.start()
            assert server.key == key
        senders.join(180)
        until_quiet(server, within=180)
        assert len(ledger.read()) >= RUNS
        assert_each_ended_once(server, ledger)
    ledger.close()
