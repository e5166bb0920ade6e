"""Measure the plugin: whole builds, and `inject` on a built site."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.build import Builder, growth_table, measure_size, size_table
from benchmarks.environment import ready_environment
from benchmarks.figures import Table
from benchmarks.inject import measure_inject
from benchmarks.sites import PLAIN, write_site

__all__ = ["add_options", "measure"]

WARM_UP_PAGES = 50


def add_options(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--pages", type=int, nargs="+", help="sizes of the sites (default: 500 2000)"
    )
    parser.add_argument("--rounds", type=int, help="rounds of builds for each site (default: 5)")
    parser.add_argument("--inject-rounds", type=int, help="rounds of inject and cp (default: 12)")
    parser.add_argument("--themes", nargs="+", default=["mkdocs", "material"], metavar="THEME")
    parser.add_argument(
        "--together",
        action="store_true",
        help="run the builds of a round at once on one processor, for less noise",
    )


def measure(options: argparse.Namespace, show: Callable[[Table], None]) -> None:
    sizes_of_sites = sorted(options.pages or ([30, 120] if options.quick else [500, 2000]))
    rounds = options.rounds or (2 if options.quick else 5)
    inject_rounds = options.inject_rounds or (2 if options.quick else 12)
    programs = ready_environment()
    with tempfile.TemporaryDirectory() as name:
        for theme in options.themes:
            warm_up = Path(name, theme, "warm-up")
            write_site(warm_up, WARM_UP_PAGES, theme)
            sizes = []
            with Builder(programs, warm_up) as builder:
                builder.check(warm_up)
                for pages in sizes_of_sites:
                    folder = Path(name, theme, str(pages))
                    write_site(folder, pages, theme)
                    size = measure_size(builder, folder, pages, rounds, together=options.together)
                    show(size_table(theme, size))
                    sizes.append(size)
            if len(sizes) > 1:
                show(growth_table(theme, sizes[0], sizes[-1]))
        built = folder / PLAIN.name
        show(measure_inject(programs, folder, built, inject_rounds))
