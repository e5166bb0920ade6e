"""`mkdocs-sentifyd inject` on a built site, beside `cp -r` of the same site.

A copy reads and writes each file once, which is the least that any tool could do. The two run by
turns, each on a fresh copy that is made outside of the measured time and on the same file system.
Copies stay until the end: ext4 hands out the places of files that are just deleted only after a
while, and looks at each of them in vain whenever a file is made.
Starting the interpreter and importing is measured on its own, for it does not grow with the site.
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
    """What a command took."""

    wall: float
    cpu: float


def measure_inject(programs: Path, folder: Path, built: Path, rounds: int) -> Table:
    """Inject and copy, a row for the clock on the wall and one for the processor.

    Args:
        programs: folder of the environment's programs.
        folder: has the configuration of the site.
        built: the site without an avatar, somewhere below.
        rounds: how often.
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
    # What the last command left to be written would slow the next.
    os.sync()
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"{command[0]} failed")
    return Taken(wall, usage.ru_utime + usage.ru_stime)
