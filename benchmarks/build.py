"""Whole builds with the plugin, and with each of its peers instead, divided by the plain build.

Builds run in turn, each in a process of its own; CPU time and peak memory are those of that
process. With `--together` all builds of a round begin at once and share one processor, which the
kernel hands from one to the next every few milliseconds: what else the machine does then slows all
alike, and plain divided by plain strays three times less. But each finds the caches of the
processor cold, so that all take longer, and a plugin that reads finished pages most of all.

Three measures of CPU time:

- `CPU`: of a whole build, divided by that of the plain build in the same round: the median. It has
  all that a plugin causes anywhere, and the noise of two builds.
- `least`: of the quickest build, divided by the quickest plain one: noise only ever adds.
- `inside`: one plus the time inside the plugin (import, options, event handlers) divided by the
  rest of the very same build. Steady, but blind to what the plugin makes others do.

Peak memory is that of a build's own process too, with what it inherits from the one it was forked
from, as if it had imported that itself.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from benchmarks.environment import ROOT
from benchmarks.figures import Table, share_covered, summary
from benchmarks.sites import PLAIN, VARIANTS, Variant

__all__ = ["Builder", "Size", "growth_table", "measure_size", "size_table"]


class Build(NamedTuple):
    """One build.

    Attributes:
        cpu: seconds, in user mode and in the kernel.
        memory: most that was resident, in KiB.
        load: those of the seconds that went into the plugin's import and options.
        events: those that went into its event handlers.
    """

    cpu: float
    memory: int
    load: float
    events: float


Round = dict[Variant, Build]


@dataclass(frozen=True, slots=True)
class Size:
    """The rounds with a site of one size."""

    pages: int
    rounds: Sequence[Round]


class Builder:
    """The process that all builds are children of."""

    def __init__(self, programs: Path, warm_up: Path) -> None:
        """Start it; a plain build of a small site shows it what builds import."""
        # The last one: the first serves more of the machine's interrupts.
        cpu = max(os.sched_getaffinity(0))
        config_file = warm_up / f"{PLAIN.name}.yml"
        self._process = subprocess.Popen(
            [programs / "python", "-m", "benchmarks.builder", str(cpu), config_file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0", "NO_MKDOCS_2_WARNING": "1"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def build(self, folder: Path, variants: Sequence[Variant]) -> Round:
        """Build a site in several variants at once."""
        for variant in variants:
            shutil.rmtree(folder / variant.name, ignore_errors=True)
        jobs = [(str(folder / f"{variant.name}.yml"), variant.plugin) for variant in variants]
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(jobs) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("a build failed")
        builds = [Build(**build) for build in json.loads(answer)]
        return dict(zip(variants, builds, strict=True))

    def check(self, folder: Path) -> None:
        """Build every variant once, and see that its plugin did its work."""
        self.build(folder, VARIANTS)
        for variant in VARIANTS[1:]:
            for name, expected in ((variant.name, True), (PLAIN.name, False)):
                page = folder / name / "index.html"
                if (variant.mark in page.read_text(encoding="utf-8")) is not expected:
                    raise SystemExit(f"{variant.name} did not do what it is measured for")


def measure_size(
    builder: Builder, folder: Path, pages: int, rounds: int, *, together: bool
) -> Size:
    """Rounds of all variants; the order in which they begin moves on from round to round.

    Args:
        builder: the process to build in.
        folder: the site, with its configurations.
        pages: how many it has.
        rounds: how often.
        together: whether the builds of a round share a processor, and do not wait for each other.
    """
    found: list[Round] = []
    for number in range(rounds):
        first = number % len(VARIANTS)
        order = VARIANTS[first:] + VARIANTS[:first]
        if together:
            one = builder.build(folder, order)
        else:
            one = {}
            for variant in order:
                one |= builder.build(folder, [variant])
        found.append(one)
    return Size(pages, found)


def size_table(theme: str, size: Size) -> Table:
    rows = []
    for variant in VARIANTS[1:]:
        pairs = [(one[variant], one[PLAIN]) for one in size.rounds]
        cpu = summary([with_it.cpu / plain.cpu for with_it, plain in pairs])
        memory = summary([with_it.memory / plain.memory for with_it, plain in pairs])
        inside = summary([_inside(with_it) for with_it, _ in pairs])
        least = min(with_it.cpu for with_it, _ in pairs) / min(plain.cpu for _, plain in pairs)
        row = [variant.name, *cpu.cells(), f"{least:.3f}", *inside.cells()[:2]]
        rows.append([*row, *memory.cells()[:2]])
    cpu_plain = statistics.median(one[PLAIN].cpu for one in size.rounds)
    memory_plain = statistics.median(one[PLAIN].memory for one in size.rounds)
    count = len(size.rounds)
    return Table(
        f"Theme {theme}, {size.pages} pages, {count} rounds; plain build: {cpu_plain:.1f} s CPU, "
        f"{memory_plain / 1024:.0f} MiB; interval of the median: {share_covered(count):.0%}",
        ["", "CPU", "rounds", "interval", "least", "inside", "rounds", "memory", "rounds"],
        rows,
    )


def _inside(build: Build) -> float:
    plugin = build.load + build.events
    return 1 + plugin / (build.cpu - plugin)


def growth_table(theme: str, small: Size, large: Size) -> Table:
    """What a page costs on a small site and on a large one: the same, if cost is linear."""
    rows = []
    for variant in VARIANTS[1:]:
        each = [_cost(size, variant) for size in (small, large)]
        cells = [f"{value:.0f} us" for value in each]
        rows.append([variant.name, *cells, f"{each[1] / each[0]:.2f}"])
    return Table(
        f"Theme {theme}, CPU time per page in the plugin's event handlers",
        ["", f"{small.pages} pages", f"{large.pages} pages", "ratio"],
        rows,
    )


def _cost(size: Size, variant: Variant) -> float:
    return statistics.median(one[variant].events for one in size.rounds) / size.pages * 1e6
