"""Threads that do the same until they are told to stop."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Self


class Crew(ABC):
    """Works between the beginning and the end of a `with`. Who inherits from it counts under `lock`."""

    def __init__(self, threads: int, patience: float) -> None:
        """`patience` is how many seconds a thread may take to end once it is told to."""
        self.lock, self.stopping, self._patience = threading.Lock(), threading.Event(), patience
        self._threads = [threading.Thread(target=self.work, args=(number,), daemon=True) for number in range(threads)]

    @abstractmethod
    def work(self, number: int) -> None:
        """What each thread does until `stopping` is set."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join(self._patience)
        assert not any(thread.is_alive() for thread in self._threads), "a thread does not end"
