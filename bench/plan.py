"""How long and how often. Everything that decides what a figure means stands here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Bounds of one run."""

    rounds: int = 3
    seconds: int = 4
    connections: int = 32
    threads: int = 2
    idle_gap_s: float = 0.1
    idle_calls: int = 120
    cold_starts: int = 40
    warm_up_calls: int = 300

    @staticmethod
    def quick() -> "Plan":
        """To see whether everything runs; its figures mean little."""
        return Plan(rounds=1, seconds=1, idle_calls=20, cold_starts=8, warm_up_calls=50)
