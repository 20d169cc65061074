"""The short form of the soak: half a minute of every sort of call and failure, and nothing leaked or lost."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from durability.soak import soak

SECONDS = 20
CALLS = 2000


@pytest.mark.needs("cgroups")
def test_mixed_load_leaks_and_loses_nothing() -> None:
    report = soak(lambda calls, seconds: calls >= CALLS and seconds >= SECONDS, warm_up_s=8, churn_pause=1)
    print(json.dumps(asdict(report), indent=2))
    assert report.broken == []
    for kind in ("crash 502", "exit 502", "grow 502", "sleep 504", "daemon 504", "upload left", "cold 200"):
        assert report.outcomes.get(kind), f"nothing of the kind `{kind}` happened: the soak proves little"
