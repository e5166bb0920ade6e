"""What the plugin and the service cost, as ratios within one run.

Only those mean anything on another machine.
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
    parser.add_argument("part", nargs="?", choices=PARTS, help="one of them alone")
    parser.add_argument(
        "--quick", action="store_true", help="a little of each, to see that it runs"
    )
    parser.add_argument("--markdown", action="store_true", help="tables for the documentation")
    for name, part in PARTS.items():
        part.add_options(parser.add_argument_group(name))
    return parser.parse_args()


if __name__ == "__main__":
    main()
