"""What the token service needs for so many visits a day: arithmetic, nothing is measured here.

`example_docs/docs/assets/capacity.js` computes the same in the visitor's browser.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from edge_service.avatars import MAX_FILLING
from edge_service.pool import FRESH_SHARE, REFILL_SECONDS
from edge_service.shared import EARLY_SECONDS, EARLY_SHARE

__all__ = ["POLICIES", "Measured", "Need", "Policy", "Site", "most_visits", "need"]

Policy = Literal["direct", "pool", "shared"]
Bound = Literal["cores", "login slots", "end of a token"]
POLICIES: tuple[Policy, ...] = ("direct", "pool", "shared")

DAY = 86_400
# A renewal of `shared` begins this many times its early seconds before the end, on the average.
EARLY_TIMES = 1.5
LARGEST_POOL = 1000
# Of `RATE_LIMIT`, and the memory of one counter in Redis, both as by default and as measured.
WINDOW_SECONDS = 60
COUNTER_BYTES = 170


class Measured(NamedTuple):
    """What one process of the service answers with all guards on, in requests a second.

    Attributes:
        direct: with the policy `direct`; `pool` is taken to cost the same, because each of its
            grants is a login too.
        shared: with `shared`, counting in memory.
        shared_redis: the same with `REDIS_URL` and one limit.
    """

    direct: float
    shared: float
    shared_redis: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What is to be carried. Each default is an assumption, which the page gives reasons for.

    Attributes:
        visits_a_day: browser tabs that come to the site in a day.
        busiest_hour: the part of them that comes in the busiest hour, in percent.
        busiest_minute: its visits, divided by those of a mean minute of that hour.
        opened: visits whose avatar asks for tokens, in percent: all with `load: eager`.
        visit_minutes: how long the avatar is on the page, mean.
        token_minutes: life of an access token.
        login_ms: how long Sentifyd takes for a login, mean.
        concurrency: `UPSTREAM_CONCURRENCY`.
        avatars: that share the visits evenly.
        use: how much of its cores and login slots a process may be using at the peak, in percent.
        least_processes: so many run in any case.
        herd_seconds: within which all who hold a shared token are to be answered when it ends.
        burst_seconds: a pool holds the grants for so long a time of the peak.
        limits: windows in `RATE_LIMIT`.
        redis: whether `REDIS_URL` is set.
    """

    visits_a_day: float = 10_000
    busiest_hour: float = 12
    busiest_minute: float = 2
    opened: float = 100
    visit_minutes: float = 5
    token_minutes: float = 60
    login_ms: float = 200
    concurrency: float = 32
    avatars: float = 1
    use: float = 50
    least_processes: float = 2
    herd_seconds: float = 10
    burst_seconds: float = 10
    limits: float = 1
    redis: bool = True

    @property
    def life(self) -> float:
        """Of a token, in seconds."""
        return self.token_minutes * 60

    @property
    def visits(self) -> float:
        """That ask for tokens, a second, in the busiest minute."""
        hour = self.visits_a_day * self.busiest_hour / 100
        return hour / 3600 * self.busiest_minute * self.opened / 100

    @property
    def present(self) -> float:
        """Visitors with an avatar at once, in the busiest minute (Little's law)."""
        return self.visits * self.visit_minutes * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one policy needs in the busiest minute, where nothing else is said.

    Attributes:
        requests: for tokens, a second.
        logins: at Sentifyd, a second.
        logins_a_day: the same for the whole day.
        in_flight: logins under way at once, mean (Little's law).
        cores: that are busy.
        load: processes for the load alone, not rounded.
        bound: what asks for the most of them.
        processes: to run.
        pool_size: `TOKEN_POOL_SIZE` of each process and avatar; 0 without a pool.
        from_pool: requests that a pool can answer while this rate lasts, in percent.
        herd: visitors at most whose shared token ends at the same moment.
        redis_calls: round trips to Redis, a second.
        redis_megabytes: memory of the counters in Redis, at most; of 1,000,000 bytes.
    """

    requests: float
    logins: float
    logins_a_day: float
    in_flight: float
    cores: float
    load: float
    bound: Bound
    processes: int
    pool_size: int
    from_pool: float
    herd: float
    redis_calls: float
    redis_megabytes: float


def need(site: Site, policy: Policy, measured: Measured) -> Need:
    """Compute what a policy needs.

    Args:
        site: what is to be carried.
        policy: of the service, for all avatars.
        measured: what one process answers.
    """
    requests_a_visit = 1 + site.visit_minutes * 60 / _held_for(site, policy)
    requests = site.visits * requests_a_visit
    requests_a_day = site.visits_a_day * site.opened / 100 * requests_a_visit
    cores = requests * _cost(site, policy, measured)
    herd = site.present / site.avatars if policy == "shared" else 0.0
    bounds: dict[Bound, float] = {"cores": cores / site.use * 100}
    if policy == "shared":
        bounds["end of a token"] = cores / requests * herd / site.herd_seconds
    else:
        in_flight = requests * site.login_ms / 1000
        bounds["login slots"] = in_flight / site.concurrency / site.use * 100
    bound, load = max(bounds.items(), key=lambda item: item[1])
    processes = max(math.ceil(load), math.ceil(site.least_processes), 1)

    size, most, from_pool = 0, math.inf, 0.0
    if policy == "direct":
        logins, logins_a_day = requests, requests_a_day
    elif policy == "pool":
        pools = processes * site.avatars
        size = _pool_size(requests / pools * site.burst_seconds)
        most = _refill(site)
        idle = pools * min(most, size / ((1 - FRESH_SHARE) * site.life))
        logins, logins_a_day = max(requests, idle), max(requests_a_day, idle * DAY)
        from_pool = 100 * min(1.0, pools * most / requests)
    else:
        renewals = site.avatars * (1 if site.redis else processes) / _held_for(site, policy)
        logins, logins_a_day = min(requests, renewals), min(requests_a_day, renewals * DAY)
    calls = requests * site.limits if site.redis else 0.0
    counters = (requests * WINDOW_SECONDS + herd) * site.limits if site.redis else 0.0
    return Need(
        requests=requests,
        logins=logins,
        logins_a_day=logins_a_day,
        in_flight=logins * site.login_ms / 1000,
        cores=cores,
        load=load,
        bound=bound,
        processes=processes,
        pool_size=size,
        from_pool=from_pool,
        herd=herd,
        redis_calls=calls,
        redis_megabytes=counters * COUNTER_BYTES / 1e6,
    )


def most_visits(site: Site, policy: Policy, measured: Measured) -> float:
    """Visits a day that one process carries: everything grows with them in proportion."""
    return site.visits_a_day / need(site, policy, measured).load


def _held_for(site: Site, policy: Policy) -> float:
    """Seconds for which a visitor can use a token before the next request, at least."""
    if policy == "pool":
        return FRESH_SHARE * site.life
    if policy == "shared":
        return site.life - EARLY_TIMES * min(EARLY_SECONDS, EARLY_SHARE * site.life)
    return site.life


def _cost(site: Site, policy: Policy, measured: Measured) -> float:
    """Core seconds for a request; what Redis adds is taken to be the same for each policy."""
    cost = 1 / (measured.shared if policy == "shared" else measured.direct)
    if site.redis:
        cost += site.limits * (1 / measured.shared_redis - 1 / measured.shared)
    return cost


def _pool_size(expected: float) -> int:
    """So many that a Poisson process with this mean exceeds it once in several hundred times."""
    return min(LARGEST_POOL, max(1, math.ceil(expected + 3 * math.sqrt(expected))))


def _refill(site: Site) -> float:
    """Logins a second that one pool makes at most."""
    parallel = min(MAX_FILLING, max(1, site.concurrency // 2))
    return min(1 / REFILL_SECONDS, parallel * 1000 / site.login_ms)
