"""Read the tables of the documentation's pages on performance, the only place with figures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.environment import ROOT

__all__ = ["PAGES", "Published", "Spread", "Traffic", "read_tables", "spread", "traffic"]

PAGES = [
    ROOT / "example_docs" / "docs" / "reference" / f"performance-{part}.md"
    for part in ("build", "service", "browser")
]
_SPREAD = re.compile(r"(-?[\d.]+)(?: \((-?[\d.]+) to (-?[\d.]+)\))?")
_TRAFFIC = re.compile(r"(\d+) \(([\d.]+) KB\)")


class Spread(NamedTuple):
    """A cell such as `1.029 (1.002 to 1.044)`.

    Attributes:
        median: the median ratio of the rounds.
        lowest: the lowest round, or the median if the page does not give it.
        highest: the highest round, or the median if the page does not give it.
    """

    median: float
    lowest: float
    highest: float


class Traffic(NamedTuple):
    """A cell such as `3 (27.7 KB)`.

    Attributes:
        requests: number of requests.
        kilobytes: size in units of 1,000 bytes.
    """

    requests: int
    kilobytes: float


@dataclass(frozen=True, slots=True)
class Published:
    """A table of a page.

    Attributes:
        heading: heading of its section.
        header: one cell for each column.
        groups: rows by the text of the bold row above them; an empty text if there is none.
    """

    heading: str
    header: Sequence[str]
    groups: dict[str, dict[str, Sequence[str]]]

    def rows(self, group: str = "") -> dict[str, Sequence[str]]:
        """Return the rows of the first group whose bold text has this prefix."""
        return next(rows for name, rows in self.groups.items() if name.startswith(group))


def read_tables(pages: Iterable[Path] = PAGES) -> list[Published]:
    """Return every table of the pages, in their order."""
    heading, header, found = "", "", []
    for line in "\n".join(page.read_text(encoding="utf-8") for page in pages).splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif not line.startswith("|"):
            header = ""
        elif not header:
            header = line
            found.append(Published(heading, _cells(line)[1:], {"": {}}))
        elif line.strip("|- "):
            _take(found[-1], *_cells(line))
    return found


def _take(table: Published, name: str, *cells: str) -> None:
    if bold := re.fullmatch(r"\*\*(.+)\*\*", name):
        table.groups.pop("", None)
        table.groups[bold[1]] = {}
    if any(cells):
        list(table.groups.values())[-1][name.strip("*")] = cells


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def spread(cell: str) -> Spread:
    """Read a ratio.

    Raises:
        ValueError: the cell has no ratio.
    """
    found = _SPREAD.match(cell)
    if found is None:
        raise ValueError(f"no ratio: {cell!r}")
    median, lowest, highest = found.groups()
    return Spread(float(median), float(lowest or median), float(highest or median))


def traffic(cell: str) -> Traffic:
    """Read requests and their bytes; `none` and an empty cell mean no traffic."""
    found = _TRAFFIC.fullmatch(cell)
    return Traffic(int(found[1]), float(found[2])) if found else Traffic(0, 0)
