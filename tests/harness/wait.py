"""Waiting for a state, with a bound."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(probe: Callable[[], T], what: str, within: float = 10.0, every: float = 0.02) -> T:
    """Asks until the answer is truthy and returns it; fails naming `what` when the bound has passed."""
    end = time.monotonic() + within
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() >= end:
            raise AssertionError(f"still not so after {within:g} s: {what} (last answer: {answer!r})")
        time.sleep(every)
