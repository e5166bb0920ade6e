"""Medians with confidence intervals, and tables to print them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Summary", "Table", "share_covered", "summary"]

WANTED = 0.95


class Summary(NamedTuple):
    """A summary of several rounds.

    Attributes:
        median: median of the rounds.
        lowest: the lowest round.
        highest: the highest round.
        low: lower end of the confidence interval of the median.
        high: upper end of that interval.
    """

    median: float
    lowest: float
    highest: float
    low: float
    high: float

    def cells(self) -> list[str]:
        return [
            f"{self.median:.3f}",
            f"{self.lowest:.3f} to {self.highest:.3f}",
            f"{self.low:.3f} to {self.high:.3f}",
        ]


def summary(values: Sequence[float]) -> Summary:
    """Return median, extremes and confidence interval.

    The ends of the interval are two of the values. This assumes no distribution: the noise of a
    busy machine has long tails.
    """
    ordered = sorted(values)
    left_out = _left_out(len(ordered))
    return Summary(
        statistics.median(ordered),
        ordered[0],
        ordered[-1],
        ordered[left_out],
        ordered[-1 - left_out],
    )


def share_covered(rounds: int) -> float:
    """Return the confidence level of the interval for a number of rounds."""
    return _coverage(rounds, _left_out(rounds))


def _left_out(count: int) -> int:
    left_out = 0
    while left_out < (count - 1) // 2 and _coverage(count, left_out + 1) >= WANTED:
        left_out += 1
    return left_out


def _coverage(count: int, left_out: int) -> float:
    beyond = sum(math.comb(count, below) for below in range(left_out + 1))
    return 1 - beyond / 2.0 ** (count - 1)


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a title.

    Attributes:
        title: what was measured, and how often.
        header: one cell for each column.
        rows: rows with one cell for each column.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Format the table for a terminal."""
        lines = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        body = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *body, ""])

    def markdown(self) -> str:
        """Format the table for the documentation."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join([self.title, "", *(f"| {' | '.join(line)} |" for line in lines), ""])
