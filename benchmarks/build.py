"""Whole builds with the plugin, and with each of its peers instead, divided by the plain build.

All builds of a round begin together and share one processor, which the kernel hands from one to
the next every few milliseconds: what else the machine does then slows all alike. With builds one
after the other, which `--in-turn` does, plain divided by plain strays at least three times as far.
The price is that each finds the caches of the processor colder, which costs plugins a little more
than it costs the rest. CPU time is that of a build's own process.

Two measures of CPU time:

- `CPU`: of a whole build, divided by that of the plain build in the same round. It has all that a
  plugin causes anywhere, and the noise of two builds.
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


def measure_size(builder: Builder, folder: Path, pages: int, rounds: int, *, in_turn: bool) -> Size:
    """Rounds of all variants; the order in which they begin moves on from round to round.

    Args:
        builder: the process to build in.
        folder: the site, with its configurations.
        pages: how many it has.
        rounds: how often.
        in_turn: whether each build waits for the one before it to end.
    """
    found: list[Round] = []
    for number in range(rounds):
        first = number % len(VARIANTS)
        order = VARIANTS[first:] + VARIANTS[:first]
        if in_turn:
            one: Round = {}
            for variant in order:
                one |= builder.build(folder, [variant])
        else:
            one = builder.build(folder, order)
        found.append(one)
    return Size(pages, found)


def size_table(theme: str, size: Size) -> Table:
    rows = []
    for variant in VARIANTS[1:]:
        pairs = [(one[variant], one[PLAIN]) for one in size.rounds]
        cpu = summary([with_it.cpu / plain.cpu for with_it, plain in pairs])
        memory = summary([with_it.memory / plain.memory for with_it, plain in pairs])
        inside = summary([_inside(with_it) for with_it, _ in pairs])
        rows.append([variant.name, *cpu.cells(), *memory.cells(), *inside.cells()[:2]])
    cpu_plain = statistics.median(one[PLAIN].cpu for one in size.rounds)
    memory_plain = statistics.median(one[PLAIN].memory for one in size.rounds)
    count = len(size.rounds)
    return Table(
        f"Theme {theme}, {size.pages} pages, {count} rounds; plain build: {cpu_plain:.1f} s CPU, "
        f"{memory_plain / 1024:.0f} MiB; interval of the median: {share_covered(count):.0%}",
        ["", "CPU", "rounds", "interval", "memory", "rounds", "interval", "inside", "rounds"],
        rows,
    )


def _inside(build: Build) -> float:
    plugin = build.load + build.events
    return 1 + plugin / (build.cpu - plugin)


def growth_table(theme: str, small: Size, large: Size) -> Table:
    """What a page costs on a small site and on a large one: the same, if cost is linear."""
    rows = []
    for variant in VARIANTS[1:]:
        cells = [variant.name]
        for cost in (_cost_inside, _cost_added):
            each = [cost(size, variant) for size in (small, large)]
            cells += [*(f"{value:.0f} us" for value in each), f"{each[1] / each[0]:.2f}"]
        rows.append(cells)
    sizes = [f"{size.pages} pages" for size in (small, large)]
    header = [""]
    for measure in ("handlers", "added"):
        header += [*(f"{measure}, {size}" for size in sizes), "ratio"]
    return Table(
        f"Theme {theme}, CPU time per page: in the plugin's event handlers, and added to the "
        "whole build",
        header,
        rows,
    )


def _cost_inside(size: Size, variant: Variant) -> float:
    return statistics.median(one[variant].events for one in size.rounds) / size.pages * 1e6


def _cost_added(size: Size, variant: Variant) -> float:
    added = [one[variant].cpu - one[PLAIN].cpu for one in size.rounds]
    return statistics.median(added) / size.pages * 1e6
