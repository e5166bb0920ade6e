"""Compare `mkdocs-sentifyd inject` on a built site to `cp -r` of the same site.

A copy reads and writes each file once, which is the minimum for any tool. Both run alternately,
each on a fresh copy that is made outside of the measured time, on the same file system. The copies
are deleted only at the end, because ext4 creates files more slowly after many deletions.

The start of the interpreter is measured separately, because it does not depend on the site's size.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Table, share_covered, summary
from benchmarks.sites import VARIANTS

__all__ = ["measure_inject"]

RATIOS = ("ratio", "rounds", "interval", "start alone", "without start")


class Taken(NamedTuple):
    """Wall clock and CPU seconds of a command."""

    wall: float
    cpu: float


def measure_inject(programs: Path, folder: Path, built: Path, rounds: int) -> Table:
    """Measure inject and copy, in wall clock and CPU time.

    Args:
        programs: folder of the environment's programs.
        folder: folder with the configuration of the site.
        built: folder of the built site without an avatar, below `folder`.
        rounds: number of rounds.
    """
    ours = VARIANTS[1]
    tool, config = programs / "mkdocs-sentifyd", folder / f"{ours.name}.yml"
    names = ("inject", "cp -r", "start")
    taken: list[dict[str, Taken]] = []
    for number in range(rounds):
        target = folder / f"injected-{number}"
        commands: dict[str, Sequence[str | Path]] = {
            "inject": [tool, "inject", target, "--config-file", config],
            "cp -r": ["cp", "-r", built, folder / f"copied-{number}"],
            "start": [tool, "--version"],
        }
        shutil.copytree(built, target)
        order = names if number % 2 else reversed(names)
        taken.append({name: _run(commands[name]) for name in order})
        for page in (target / "index.html", target / "404.html"):
            if ours.mark not in page.read_text(encoding="utf-8"):
                raise SystemExit(f"{page.name} has no avatar")
    rows = []
    for part, name in enumerate(("wall clock", "CPU time")):
        ratios = summary([one["inject"][part] / one["cp -r"][part] for one in taken])
        starts = summary([one["start"][part] / one["cp -r"][part] for one in taken])
        rest = [(one["inject"][part] - one["start"][part]) / one["cp -r"][part] for one in taken]
        seconds = [summary([one[what][part] for one in taken]).median for what in names]
        rows.append(
            [
                name,
                *ratios.cells(),
                f"{starts.median:.2f}",
                f"{summary(rest).median:.2f}",
                *(f"{value:.2f} s" for value in seconds),
            ]
        )
    files = sum(1 for _ in built.rglob("*.html"))
    return Table(
        f"inject on a built site of {files} pages, divided by `cp -r` of it; {rounds} rounds; "
        f"interval of the median: {share_covered(rounds):.0%}",
        ["", *RATIOS, *names],
        rows,
    )


def _run(command: Sequence[str | Path]) -> Taken:
    # Otherwise pending writes of the last command would slow down the next one.
    os.sync()
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"{command[0]} failed")
    return Taken(wall, usage.ru_utime + usage.ru_stime)
