"""Measure many visitors at the same moment: with a full pool, and at a service's start."""

from __future__ import annotations

import json
import time
from statistics import median

from benchmarks.crowd import Visit, allow_files, crowd
from benchmarks.figures import Table, share_covered, summary
from benchmarks.servers import DELAY, Sandbox, service

__all__ = ["measure_herd", "measure_pool"]

POOL = 50
BURST = 30
HERD = 1000
# Seconds. Long enough for all requests to arrive before the single login is answered.
HERD_DELAY = 0.5
PATIENCE = 60


def measure_pool(rounds: int) -> Table:
    """Compare visitors of a full pool to those of `direct`, and to as many of `/livez`."""
    to_direct, to_health = [], []
    with (
        Sandbox() as upstream,
        Sandbox() as other,
        service(upstream, "pool", TOKEN_POOL_SIZE=str(POOL)) as pool,
        service(other, "direct", UPSTREAM_CONCURRENCY=str(POOL)) as direct,
    ):
        pool.wait_until_ready()
        crowd(direct.port, POOL)
        for number in range(rounds):
            _wait_for_logins(upstream, (POOL + BURST) * number + POOL)
            pooled, logged_in = crowd(pool.port, POOL), crowd(direct.port, POOL)
            _check(pooled + logged_in)
            tokens = {json.loads(visit.body)["tokens"]["accessToken"] for visit in pooled}
            if len(tokens) != POOL:
                raise SystemExit(f"{POOL} visitors got {len(tokens)} different tokens")
            to_direct.append(_latency(pooled) / _latency(logged_in))
            _wait_for_logins(upstream, (POOL + BURST) * number + 2 * POOL)
            pooled, healthy = crowd(pool.port, BURST), crowd(pool.port, BURST, "/livez")
            _check(pooled + healthy)
            to_health.append(_latency(pooled) / _latency(healthy))
    return Table(
        f"Visitors at once at a pool of {POOL}; {rounds} rounds, interval of the median: "
        f"{share_covered(rounds):.0%}",
        ["median latency", "ratio", "rounds", "interval", "goal"],
        [
            [
                f"{POOL} visitors, divided by direct with logins of {DELAY * 1000:.0f} ms",
                *summary(to_direct).cells(),
                "<= 0.1",
            ],
            [
                f"{BURST} visitors, divided by as many requests of /livez",
                *summary(to_health).cells(),
                "<= 3",
            ],
        ],
    )


def measure_herd(rounds: int) -> Table:
    """Send many visitors to `shared` before it has tokens: one login must be enough for all."""
    allow_files(2 * HERD)
    rows = []
    for number in range(rounds):
        with (
            Sandbox(HERD_DELAY) as sandbox,
            service(sandbox, "shared") as ours,
        ):
            visits = crowd(ours.port, HERD)
            answered = sum(visit.status == 200 for visit in visits)
            rows.append([f"start {number + 1}", str(answered), str(sandbox.logins)])
    return Table(
        f"{HERD} visitors at once at a shared service that has just started",
        ["", f"answered 200 (goal: {HERD})", "logins (goal: 1)"],
        rows,
    )


def _check(visits: list[Visit]) -> None:
    if any(visit.status != 200 for visit in visits):
        raise SystemExit(f"not every visitor got 200: {sorted({one.status for one in visits})}")


def _latency(visits: list[Visit]) -> float:
    return median(visit.seconds for visit in visits)


def _wait_for_logins(sandbox: Sandbox, count: int) -> None:
    end = time.monotonic() + PATIENCE
    while sandbox.logins < count:
        if time.monotonic() > end:
            raise SystemExit(f"the pool was not filled within {PATIENCE} s")
        time.sleep(0.1)
    # The sandbox counts a login when it begins, so wait until the last one ends.
    time.sleep(DELAY + 0.2)
