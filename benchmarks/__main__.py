"""What the plugin costs, as ratios within one run: only those mean anything on another machine."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.build import Builder, growth_table, measure_size, size_table
from benchmarks.environment import ready_environment
from benchmarks.figures import Table
from benchmarks.inject import measure_inject
from benchmarks.sites import PLAIN, write_site

WARM_UP_PAGES = 50


def main() -> None:
    options = _options()
    programs = ready_environment()

    def show(table: Table) -> None:
        print(table.markdown() if options.markdown else table.text(), flush=True)

    with tempfile.TemporaryDirectory() as name:
        for theme in options.themes:
            warm_up = Path(name, theme, "warm-up")
            write_site(warm_up, WARM_UP_PAGES, theme)
            sizes = []
            with Builder(programs, warm_up) as builder:
                builder.check(warm_up)
                for pages in options.pages:
                    folder = Path(name, theme, str(pages))
                    write_site(folder, pages, theme)
                    size = measure_size(
                        builder, folder, pages, options.rounds, together=options.together
                    )
                    show(size_table(theme, size))
                    sizes.append(size)
            if len(sizes) > 1:
                show(growth_table(theme, sizes[0], sizes[-1]))
        built = folder / PLAIN.name
        show(measure_inject(programs, folder, built, options.inject_rounds))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--pages", type=int, nargs="+", help="sizes of the sites (500 2000)")
    parser.add_argument("--rounds", type=int, help="rounds of builds for each site (5)")
    parser.add_argument("--inject-rounds", type=int, help="rounds of inject and cp (12)")
    parser.add_argument("--themes", nargs="+", default=["mkdocs", "material"], metavar="THEME")
    parser.add_argument("--quick", action="store_true", help="small sites, to see that it runs")
    parser.add_argument(
        "--together", action="store_true", help="builds of a round share a processor: less noise"
    )
    parser.add_argument("--markdown", action="store_true", help="tables for the documentation")
    options = parser.parse_args()
    options.pages = sorted(options.pages or ([30, 120] if options.quick else [500, 2000]))
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.inject_rounds = options.inject_rounds or (2 if options.quick else 12)
    return options


if __name__ == "__main__":
    main()
