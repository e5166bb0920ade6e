"""Visits in pairs: each to a site with an avatar, beside one to its plain twin."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from benchmarks.figures import share_covered, summary
from benchmarks.modes import Mode

__all__ = ["RATIO", "in_pairs", "ratio_cells", "times_told"]

RATIO = ("ratio", "rounds", "interval", "least", "plain")
Found = TypeVar("Found")


def in_pairs(
    modes: Sequence[Mode], rounds: int, visit: Callable[[Mode], Found]
) -> dict[str, list[tuple[Found, Found]]]:
    """What the visits of each mode found, and those of its twin.

    The first twin is also compared with itself: so much is noise.
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
    """Cells under `RATIO` for milliseconds.

    The least of all is divided by the least too, for noise only ever adds.
    """
    pairs = list(pairs)
    ours, plain = zip(*pairs, strict=True)
    return [
        *summary([one / other for one, other in pairs]).cells(),
        f"{min(ours) / min(plain):.3f}",
        f"{statistics.median(plain):.0f} ms",
    ]


def times_told(rounds: int) -> str:
    """For the title of a table."""
    return f"{rounds} rounds; interval of the median: {share_covered(rounds):.0%}"
