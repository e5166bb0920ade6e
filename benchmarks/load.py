"""Load from wrk: a steady number of connections, each asking again as soon as it is answered.

Every target is loaded for a moment in each round, in turn, so that what else the machine does
falls on all of them.
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
# As short as wrk can: many short rounds tell more than a few long ones.
SECONDS = 1
SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Target:
    """Where wrk asks.

    Attributes:
        name: for the table.
        server: on this machine.
        path: of the route.
        post: JSON to send; a GET when empty.
        store: a server that it asks in turn, whose work is told apart.
    """

    name: str
    server: Server
    path: str = "/request_tokens"
    post: str = ""
    store: Server | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk found.

    Attributes:
        answers: how many.
        errors: answers that are errors, and connections that broke.
        seconds: that it took.
        p50: median latency in seconds.
        p99: latency in seconds that one answer in a hundred exceeds.
        cpu: seconds that the server's process worked.
        store_cpu: seconds that the target's store worked.
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
        """Answers a second."""
        return self.answers / self.seconds

    @property
    def cost(self) -> float:
        """CPU seconds for an answer: what others do on the machine hardly changes it."""
        return self.cpu / self.answers


Round = Mapping[str, Load]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A row of a table.

    Attributes:
        name: of the row.
        of: what to read from a round.
        targets: those that it reads; an error at any of them voids the round.
        goal: what it should be.
    """

    name: str
    of: Callable[[Round], float]
    targets: Sequence[str]
    goal: str = ""


def has_wrk() -> bool:
    return shutil.which("wrk") is not None


def load(target: Target, seconds: int, *arguments: str) -> Load:
    """Ask for some seconds; `arguments` are those of wrk.lua."""
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
    """Rounds in which each target has its turn, after one to warm up that does not count."""
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
    """What the ratios were made of; on another machine it is something else."""
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
