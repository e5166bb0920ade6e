"""Measure what an avatar costs a visitor, in Chromium."""

from __future__ import annotations

import argparse
import gzip
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser

from benchmarks.arrivals import measure_paint, measure_requests
from benchmarks.figures import Table
from benchmarks.modes import Places, build_sites
from benchmarks.tours import measure_navigation
from benchmarks.visits import chromium, has_chromium
from mkdocs_sentifyd.tags.assets import contents

__all__ = ["add_options", "measure"]


class Effort(NamedTuple):
    """How much to measure.

    Attributes:
        rounds: number of rounds of visits.
        navigations: number of navigations in a visit of many pages.
        pages: number of pages of each site.
    """

    rounds: int
    navigations: int
    pages: int


FULL = Effort(rounds=12, navigations=50, pages=12)
QUICK = Effort(rounds=1, navigations=6, pages=2)
MEASURES: dict[str, Callable[[Browser, Places, Effort], list[Table]]] = {
    "requests": lambda browser, places, _: [measure_requests(browser, places)],
    "paint": lambda browser, places, effort: measure_paint(browser, places, effort.rounds),
    "navigation": lambda browser, places, effort: measure_navigation(
        browser, places, effort.rounds, effort.navigations
    ),
}


def add_options(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--visits",
        nargs="+",
        choices=MEASURES,
        default=[*MEASURES],
        help="run only these measurements",
    )
    parser.add_argument("--visit-rounds", type=int, help="rounds of visits (default: 12)")


def measure(options: argparse.Namespace, show: Callable[[Table], None]) -> None:
    show(file_table())
    if not has_chromium():
        print("chromium is missing, so visits are skipped: apt-get install chromium", flush=True)
        return
    # Turns SIGTERM into an exception, so that the servers are stopped too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    effort = QUICK if options.quick else FULL
    effort = effort._replace(rounds=options.visit_rounds or effort.rounds)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()), "sites")
        folder.mkdir()
        places = Places.around(folder)
        build_sites(folder, places, effort.pages)
        for server in places:
            stack.enter_context(server)
        browser = stack.enter_context(chromium())
        for name in options.visits:
            for table in MEASURES[name](browser, places, effort):
                show(table)


def file_table() -> Table:
    """List the sizes of the runtime's files, plain and compressed one by one."""
    rows = [
        [f"`{name}`", f"{len(content)}", f"{len(gzip.compress(content))}"]
        for name, content in contents().items()
    ]
    return Table("Files of the runtime", ["", "bytes", "with gzip"], rows)
