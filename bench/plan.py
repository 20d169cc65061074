"""How long and how often. Everything that decides what a figure means stands here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Bounds of one run."""

    rounds: int = 3
    seconds: int = 3
    connections: int = 32
    threads: int = 2
    idle_gap_s: float = 0.1
    idle_calls: int = 100
    cold_starts: int = 60
    warm_up_calls: int = 300
    restarts: int = 6
    against_rounds: int = 8
    against_starts: int = 5
    quick: bool = False

    @staticmethod
    def quickly() -> "Plan":
        """To see whether everything runs; its figures mean little."""
        return Plan(
            rounds=1,
            seconds=1,
            idle_calls=10,
            cold_starts=4,
            warm_up_calls=20,
            restarts=2,
            quick=True,
            threads=2,
            against_rounds=2,
            against_starts=2,
        )
