"""Compare builds with the plugin, and with each of its peers, to a build without any of them.

Builds run one after the other, each in its own process, whose CPU time and peak memory count. With
`--together`, all builds of a round start at once and share one processor. Then other work on the
machine slows all of them down equally, and plain divided by plain varies three times less. But the
builds evict each other from the processor's caches, so all of them take longer, most of all a
plugin that reads finished pages.

There are three measures of CPU time:

- `CPU`: CPU time of a build divided by that of the plain build in the same round; the median. It
  includes everything that a plugin causes, and the noise of two builds.
- `least`: the fastest build divided by the fastest plain build, because noise only adds time.
- `inside`: one plus the time inside the plugin (import, options, event handlers) divided by the
  rest of the same build. It varies little, but misses work that the plugin causes elsewhere.

Peak memory includes what the process inherits from its parent, as if it had imported that itself.
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
        cpu: CPU time in seconds, in user mode and in the kernel.
        memory: peak resident memory, in KiB.
        load: CPU seconds for the plugin's import and options.
        events: CPU seconds in the plugin's event handlers.
    """

    cpu: float
    memory: int
    load: float
    events: float


Round = dict[Variant, Build]


@dataclass(frozen=True, slots=True)
class Size:
    """All rounds with a site of one size."""

    pages: int
    rounds: Sequence[Round]


class Builder:
    """The parent process of all builds."""

    def __init__(self, programs: Path, warm_up: Path) -> None:
        """Start the process, and let it import what a plain build of a small site imports."""
        # The last processor, because the first one handles more interrupts.
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
        """Build every variant once, and check that its plugin did its work."""
        self.build(folder, VARIANTS)
        for variant in VARIANTS[1:]:
            for name, expected in ((variant.name, True), (PLAIN.name, False)):
                page = folder / name / "index.html"
                if (variant.mark in page.read_text(encoding="utf-8")) is not expected:
                    raise SystemExit(f"{variant.name} did not change the page as expected")


def measure_size(
    builder: Builder, folder: Path, pages: int, rounds: int, *, together: bool
) -> Size:
    """Build all variants in several rounds, each round in another order.

    Args:
        builder: the process to build in.
        folder: folder of the site and its configurations.
        pages: number of pages of the site.
        rounds: number of rounds.
        together: whether the builds of a round run at once on one processor.
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
    """Compare the cost per page on a small and on a large site; the ratio is 1 if it is linear."""
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
