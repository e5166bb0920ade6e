"""Measure the cost of the plugin and of the service, as ratios within one run.

Absolute figures depend on the machine; ratios depend on it much less.
"""

from __future__ import annotations

import argparse

from benchmarks import browser, plugin, service
from benchmarks.figures import Table

PARTS = {"plugin": plugin, "service": service, "browser": browser}


def main() -> None:
    options = _options()

    def show(table: Table) -> None:
        print(table.markdown() if options.markdown else table.text(), flush=True)

    for name, part in PARTS.items():
        if options.part in (None, name):
            part.measure(options, show)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="?", choices=PARTS, help="run only this part")
    parser.add_argument(
        "--quick", action="store_true", help="run little of each, to check that it works"
    )
    parser.add_argument(
        "--markdown", action="store_true", help="print tables for the documentation"
    )
    for name, part in PARTS.items():
        part.add_options(parser.add_argument_group(name))
    return parser.parse_args()


if __name__ == "__main__":
    main()
