"""Generate load with wrk: a fixed number of connections that send request after request.

Each round loads all targets for a short time, one after the other, so that other work on the
machine affects all of them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.figures import Table, share_covered, summary
from benchmarks.servers import ORIGIN, Server

__all__ = [
    "CONNECTIONS",
    "Load",
    "Ratio",
    "Target",
    "has_wrk",
    "here_table",
    "in_turn",
    "load",
    "load_table",
]

CONNECTIONS = 64
# The minimum of wrk: many short rounds give better medians than a few long ones.
SECONDS = 1
SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Target:
    """A route to load.

    Attributes:
        name: name in the table.
        server: server on this machine.
        path: path of the route.
        post: JSON to send with POST; if empty, the request is a GET.
        store: a server that the target uses, whose CPU time is reported separately.
    """

    name: str
    server: Server
    path: str = "/request_tokens"
    post: str = ""
    store: Server | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """The result of wrk.

    Attributes:
        answers: number of answers.
        errors: number of error answers and broken connections.
        seconds: duration in seconds.
        p50: median latency in seconds.
        p99: 99th percentile of the latency, in seconds.
        cpu: CPU seconds of the server's process.
        store_cpu: CPU seconds of the target's store.
    """

    answers: int
    errors: int
    seconds: float
    p50: float
    p99: float
    cpu: float
    store_cpu: float = 0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds

    @property
    def cost(self) -> float:
        """CPU seconds per answer; other work on the machine hardly changes it."""
        return self.cpu / self.answers


Round = Mapping[str, Load]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A row of a table.

    Attributes:
        name: name of the row.
        of: computes the ratio from a round.
        targets: the targets that `of` reads; an error at any of them invalidates the round.
        goal: the expected ratio.
    """

    name: str
    of: Callable[[Round], float]
    targets: Sequence[str]
    goal: str = ""


def has_wrk() -> bool:
    return shutil.which("wrk") is not None


def load(target: Target, seconds: int, *arguments: str) -> Load:
    """Load a target for some seconds; wrk.lua documents the arguments."""
    if target.post:
        arguments = ("post", target.post)
    before, store_before = target.server.cpu, target.store.cpu if target.store else 0
    output = subprocess.run(
        [
            *("wrk", "--threads", "1", "--connections", str(CONNECTIONS)),
            *("--duration", f"{seconds}s", "--header", f"Origin: {ORIGIN}", "--script", SCRIPT),
            *(f"http://127.0.0.1:{target.server.port}{target.path}", "--", *arguments),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return Load(
        **json.loads(output.splitlines()[-1]),
        cpu=target.server.cpu - before,
        store_cpu=target.store.cpu - store_before if target.store else 0,
    )


def in_turn(targets: Sequence[Target], rounds: int) -> list[Round]:
    """Load all targets in several rounds, after a warm-up round that does not count."""
    found: list[Round] = []
    for number in range(rounds + 1):
        order = targets if number % 2 else targets[::-1]
        found.append({target.name: load(target, SECONDS) for target in order})
    return found[1:]


def load_table(title: str, rounds: Sequence[Round], ratios: Sequence[Ratio]) -> Table:
    rows = []
    for ratio in ratios:
        valid = [one for one in rounds if not any(one[target].errors for target in ratio.targets)]
        cells = summary([ratio.of(one) for one in valid]).cells() if valid else ["", "", ""]
        rows.append([ratio.name, *cells, ratio.goal, f"{len(valid)} of {len(rounds)}"])
    return Table(
        f"{title}; {CONNECTIONS} connections, interval of the median: "
        f"{share_covered(len(rounds)):.0%}",
        ["", "ratio", "rounds", "interval", "goal", "valid rounds"],
        rows,
    )


def here_table(rounds: Sequence[Round]) -> Table:
    """Show the absolute figures behind the ratios, which differ on other machines."""
    rows = []
    for name in rounds[0]:
        valid = [one[name] for one in rounds if not one[name].errors]
        if valid:
            rates = summary([one.rate for one in valid])
            work = median(one.cost for one in valid) * 1000
            stored = median(one.store_cpu / one.answers for one in valid) * 1000
            cells = (f"{rates.median:.0f}", f"{rates.lowest:.0f} to {rates.highest:.0f}")
            rows.append([name, *cells, f"{work:.3f}", f"{stored:.3f}" if stored else ""])
    return Table(
        "On this machine, for orientation",
        ["", "requests a second", "rounds", "CPU ms a request", "CPU ms of Redis"],
        rows,
    )
