"""Compute the tables of the documentation's page on capacity, from published figures.

`python -m benchmarks.capacity` prints them.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from benchmarks.load import CONNECTIONS
from benchmarks.published import read_tables, spread
from benchmarks.servers import DELAY
from edge_service.issuing.pool import FRESH_SHARE, REFILL_SECONDS
from edge_service.issuing.shared import EARLY_SECONDS, EARLY_SHARE
from edge_service.settings.variables import Variables

__all__ = ["Need", "need", "rates", "shown", "tables"]

Policy = Literal["direct", "pool", "shared"]
POLICIES: tuple[Policy, ...] = ("direct", "pool", "shared")
VISITS = (10_000, 100_000, 1_000_000, 10_000_000)

# `deploy/capacity-model.md` of the documentation explains each of these assumptions.
BUSIEST_HOUR, BUSIEST_MINUTE = 0.12, 2
VISIT_SECONDS, TOKEN_SECONDS, LOGIN_SECONDS = 300, 3600, 0.2
USE, HERD_SECONDS, BURST_SECONDS, LEAST_PROCESSES = 0.5, 10, 10, 2
# The window of the default `RATE_LIMIT`, and the measured memory of one counter in Redis.
WINDOW_SECONDS, COUNTER_BYTES = 60, 170
# `shared` renews its grant between one and two times its early seconds before the grant expires.
HELD_SECONDS = {
    "direct": TOKEN_SECONDS,
    "pool": FRESH_SHARE * TOKEN_SECONDS,
    "shared": TOKEN_SECONDS - 1.5 * min(EARLY_SECONDS, EARLY_SHARE * TOKEN_SECONDS),
}


class Need(NamedTuple):
    """What a policy needs in the busiest minute.

    Attributes:
        present: number of visitors with an open avatar.
        requests: token requests per second.
        logins: logins at Sentifyd per second.
        logins_a_day: logins at Sentifyd per day; a lower bound for `pool`.
        cores: number of busy processor cores.
        load: number of processes for the load alone, not rounded.
        processes: number of processes to run.
    """

    present: float
    requests: float
    logins: float
    logins_a_day: float
    cores: float
    load: float
    processes: int


def rates() -> dict[str, float]:
    """Return the requests per second of one process, from the ratios of the performance pages.

    `shared_redis` is `shared` with `REDIS_URL`.
    """
    published = {table.heading: table for table in read_tables()}
    service = published["Ratios and targets"]
    peers = published["Compared with the vendor's samples"]
    alone = service.rows("`shared`, all guards")
    direct = service.rows("`direct`, `UPSTREAM_CONCURRENCY")["requests a second"][0]
    redis = alone["the same, with `REDIS_URL`"][0], alone["requests a second"][0]
    direct_rate = spread(direct).median * CONNECTIONS / DELAY
    shared_rate = spread(peers.rows()["`shared`"][0]).median * direct_rate
    redis_rate = shared_rate * spread(redis[0]).median / spread(redis[1]).median
    found = {"direct": direct_rate, "shared": shared_rate, "shared_redis": redis_rate}
    return {name: round(rate) for name, rate in found.items()}


def need(visits_a_day: float, policy: Policy, *, redis: bool = True) -> Need:
    """Compute what a number of visits needs.

    Args:
        visits_a_day: number of browser tabs that open the site in a day.
        policy: token policy of the only avatar.
        redis: whether `REDIS_URL` is set.
    """
    rate = rates()
    asks = 1 + VISIT_SECONDS / HELD_SECONDS[policy]
    visits = visits_a_day * BUSIEST_HOUR / 3600 * BUSIEST_MINUTE
    present, requests = visits * VISIT_SECONDS, visits * asks
    # The performance pages have no rate for `pool`; like `direct`, it needs one login per grant.
    cost = 1 / rate["shared" if policy == "shared" else "direct"]
    if redis:
        cost += 1 / rate["shared_redis"] - 1 / rate["shared"]
    if policy == "shared":
        logins = 1 / HELD_SECONDS[policy]
        logins_a_day = logins * 86_400
        load = (requests + present / HERD_SECONDS) * cost / USE
    else:
        logins, logins_a_day = requests, visits_a_day * asks
        slots_in_use = logins * LOGIN_SECONDS / Variables.UPSTREAM_CONCURRENCY.default
        load = max(requests * cost, slots_in_use) / USE
    processes = max(LEAST_PROCESSES, math.ceil(load))
    return Need(present, requests, logins, logins_a_day, requests * cost, load, processes)


def tables() -> list[str]:
    """Return the tables of the page in Markdown, in the page's order."""
    policies, visitors, process = [], [], []
    for visits in VISITS:
        for policy in POLICIES:
            found = need(visits, policy)
            first = f"{visits:,}" if policy == POLICIES[0] else ""
            figures = map(shown, found[1:5])
            policies.append([first, f"`{policy}`", *figures, f"{found.processes}"])
        pool = need(visits, "pool")
        expected = pool.requests / pool.processes * BURST_SECONDS
        # A burst that exceeds the mean by three standard deviations is rare (Poisson).
        size = min(1000, math.ceil(expected + 3 * math.sqrt(expected)))
        refilled = min(1.0, pool.processes / REFILL_SECONDS / pool.requests)
        redis = (pool.requests * WINDOW_SECONDS + pool.present) * COUNTER_BYTES / 1e6
        cells = [shown(pool.present), shown(redis), f"{size}", f"{refilled:.0%}"]
        visitors.append([f"{visits:,}", *cells])
    for policy in POLICIES:
        # The load is proportional to the visits, so one million visits are enough to compute this.
        most = [1e6 / need(1e6, policy, redis=redis).load for redis in (False, True)]
        process.append([f"`{policy}`", *map(shown, most)])
    rates = ["Requests a second", "Logins a second", "Logins a day"]
    burst = ["`TOKEN_POOL_SIZE`", "Answered from the pool"]
    return [
        _table(["Visits a day", "Policy", *rates, "Cores busy", "Processes"], policies),
        _table(["Policy", "Visits a day, without Redis", "With Redis"], process),
        _table(["Visits a day", "Visitors at once", "Memory of Redis, MB", *burst], visitors),
    ]


def shown(number: float) -> str:
    """Format a number for the page: two significant digits below ten, otherwise three."""
    return f"{float(f'{number:.2g}'):g}" if number < 10 else f"{float(f'{number:.3g}'):,.0f}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print("\n\n".join(tables()))
