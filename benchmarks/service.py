"""Measure the service: throughput, bursts, memory and start, each compared to something else."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.figures import Table
from benchmarks.footprint import measure_memory, measure_start
from benchmarks.load import has_wrk
from benchmarks.moments import measure_herd, measure_pool
from benchmarks.rates import measure_direct, measure_peers, measure_shared

__all__ = ["add_options", "measure"]


class Effort(NamedTuple):
    """How much to measure.

    Attributes:
        rounds: number of rounds of load.
        bursts: number of bursts on a pool.
        herds: number of service starts with many visitors at once.
        starts: number of measured starts.
        requests: number of requests before memory is measured.
    """

    rounds: int
    bursts: int
    herds: int
    starts: int
    requests: int


FULL = Effort(rounds=12, bursts=5, herds=3, starts=12, requests=200_000)
QUICK = Effort(rounds=1, bursts=1, herds=1, starts=2, requests=10_000)
MEASURES: dict[str, Callable[[Effort], Sequence[Table]]] = {
    "shared": lambda effort: measure_shared(effort.rounds),
    "direct": lambda effort: measure_direct(effort.rounds),
    "pool": lambda effort: [measure_pool(effort.bursts)],
    "herd": lambda effort: [measure_herd(effort.herds)],
    "memory": lambda effort: [measure_memory(effort.requests)],
    "start": lambda effort: [measure_start(effort.starts)],
    "peers": lambda effort: measure_peers(effort.rounds),
}
NEED_WRK = ("shared", "direct", "memory", "peers")


def add_options(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--measures",
        nargs="+",
        choices=MEASURES,
        default=[*MEASURES],
        help="run only these measurements",
    )


def measure(options: argparse.Namespace, show: Callable[[Table], None]) -> None:
    # Turns SIGTERM into an exception, so that the servers are stopped too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    for name in options.measures:
        if name in NEED_WRK and not has_wrk():
            print(f"wrk is missing, so {name} is skipped: apt-get install wrk", flush=True)
        else:
            for table in MEASURES[name](QUICK if options.quick else FULL):
                show(table)
