"""Visits in pairs: one to a site with an avatar, and one to its plain twin."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from benchmarks.figures import share_covered, summary
from benchmarks.modes import Mode

__all__ = ["RATIO", "in_pairs", "ratio_cells", "rounds_and_interval"]

RATIO = ("ratio", "rounds", "interval", "least", "plain")
Found = TypeVar("Found")


def in_pairs(
    modes: Sequence[Mode], rounds: int, visit: Callable[[Mode], Found]
) -> dict[str, list[tuple[Found, Found]]]:
    """Return the results of each mode, each with the result of its plain twin.

    The first twin is also compared with itself, which shows the noise.
    """
    found: dict[str, list[tuple[Found, Found]]] = {}
    for number in range(rounds):
        for mode in (modes[0].plain._replace(name="plain, once more"), *modes):
            if number % 2:
                ours, plain = visit(mode), visit(mode.plain)
            else:
                plain, ours = visit(mode.plain), visit(mode)
            found.setdefault(mode.name, []).append((ours, plain))
    return found


def ratio_cells(pairs: Iterable[tuple[float, float]]) -> list[str]:
    """Return the cells of the columns `RATIO`, for pairs of milliseconds.

    `least` divides the shortest time by the shortest plain time, because noise only adds time.
    """
    pairs = list(pairs)
    ours, plain = zip(*pairs, strict=True)
    return [
        *summary([one / other for one, other in pairs]).cells(),
        f"{min(ours) / min(plain):.3f}",
        f"{statistics.median(plain):.0f} ms",
    ]


def rounds_and_interval(rounds: int) -> str:
    """Return the number of rounds and the confidence level, for the title of a table."""
    return f"{rounds} rounds; interval of the median: {share_covered(rounds):.0%}"
