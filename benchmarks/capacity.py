"""What the token service needs for so many visits a day: arithmetic, nothing is measured here.

`example_docs/docs/assets/capacity.js` computes the same in the visitor's browser.
"""

from __future__ import annotations

import math
from bisect import bisect_left
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

    What does not apply to the policy is `None`. So is what depends on the number of processes
    when no number is enough.

    Attributes:
        requests: for tokens, a second.
        logins: at Sentifyd, a second.
        logins_a_day: the same for the whole day; of a pool at least, because it makes the more of
            them the quieter an hour is.
        in_flight: logins under way at once, mean (Little's law).
        cores: that are busy.
        load: processes for the load alone, not rounded; infinite when no number is enough.
        bound: what asks for the most of them.
        processes: to run; `None` when no number is enough, because each further one has further
            pools to keep fresh.
        pool_size: `TOKEN_POOL_SIZE` of each process and avatar.
        from_pool: requests that a pool can answer while this rate lasts, in percent.
        herd: visitors at most whose shared token ends at the same moment.
        redis_calls: round trips to Redis, a second.
        redis_megabytes: memory of the counters in Redis, at most; of 1,000,000 bytes.
    """

    requests: float
    logins: float | None
    logins_a_day: float | None
    in_flight: float | None
    cores: float | None
    load: float
    bound: Bound
    processes: int | None
    pool_size: int | None
    from_pool: float | None
    herd: float | None
    redis_calls: float | None
    redis_megabytes: float | None


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
    processes = _processes(site, policy, measured, requests)

    logins = logins_a_day = size = from_pool = None
    if policy == "direct":
        logins, logins_a_day = requests, requests_a_day
    elif policy == "shared":
        stores = 1 if site.redis or processes is None else processes
        renewals = site.avatars * stores / _held_for(site, policy)
        logins, logins_a_day = min(requests, renewals), min(requests_a_day, renewals * DAY)
    elif processes is not None:
        size = _pool_size(site, requests, processes)
        idle = _idle(site, requests, processes)
        logins, logins_a_day = max(requests, idle), max(requests_a_day, idle * DAY)
        from_pool = 100 * min(1.0, processes * site.avatars * _refill(site) / requests)

    bounds = _bounds(site, policy, measured, requests, requests if logins is None else logins)
    bound, load = max(bounds.items(), key=lambda item: item[1])
    herd = _herd(site) if policy == "shared" else None
    counters = (requests * WINDOW_SECONDS + (herd or 0)) * site.limits
    return Need(
        requests=requests,
        logins=logins,
        logins_a_day=logins_a_day,
        in_flight=None if logins is None else logins * site.login_ms / 1000,
        cores=None if logins is None else _cores(site, policy, measured, requests, logins),
        load=math.inf if processes is None else load,
        bound=bound,
        processes=processes,
        pool_size=size,
        from_pool=from_pool,
        herd=herd,
        redis_calls=requests * site.limits if site.redis else None,
        redis_megabytes=counters * COUNTER_BYTES / 1e6 if site.redis else None,
    )


def most_visits(site: Site, policy: Policy, measured: Measured) -> float:
    """Visits a day that one process carries, as long as pools make no more logins than requests.

    Up to there everything grows with the visits in proportion.
    """
    return site.visits_a_day / need(site, policy, measured).load


def _processes(site: Site, policy: Policy, measured: Measured, requests: float) -> int | None:
    """The smallest number that is enough."""
    bounds = _bounds(site, policy, measured, requests, requests)
    least = max(math.ceil(max(bounds.values())), math.ceil(site.least_processes), 1)
    if policy != "pool":
        return least

    def enough(processes: int) -> bool:
        logins = max(requests, _idle(site, requests, processes))
        return max(_bounds(site, policy, measured, requests, logins).values()) <= processes

    # A pool of more processes is smaller, and one that holds a single grant cannot be.
    most = least
    while not enough(most) and _pool_size(site, requests, most) > 1:
        most *= 2
    if not enough(most):
        return None
    return least + bisect_left(range(least, most), True, key=enough)


def _bounds(
    site: Site, policy: Policy, measured: Measured, requests: float, logins: float
) -> dict[Bound, float]:
    """Processes that each of them asks for, with as much of a process in use as may be."""
    if policy == "shared":
        # Visits go on to begin while all others ask again.
        at_once = requests + _herd(site) / site.herd_seconds
        return {"end of a token": at_once * _cost(site, policy, measured) / site.use * 100}
    cores = _cores(site, policy, measured, requests, logins)
    in_flight = logins * site.login_ms / 1000
    return {
        "cores": cores / site.use * 100,
        "login slots": in_flight / site.concurrency / site.use * 100,
    }


def _held_for(site: Site, policy: Policy) -> float:
    """Seconds for which a visitor can use a token before the next request, at least."""
    if policy == "pool":
        return FRESH_SHARE * site.life
    if policy == "shared":
        return site.life - EARLY_TIMES * min(EARLY_SECONDS, EARLY_SHARE * site.life)
    return site.life


def _herd(site: Site) -> float:
    """Visitors at most who hold the same shared token."""
    return site.present / site.avatars


def _cores(site: Site, policy: Policy, measured: Measured, requests: float, logins: float) -> float:
    """That are busy; a login that keeps a pool fresh is taken to cost what `direct` does."""
    unasked = max(0.0, logins - requests) if policy == "pool" else 0.0
    return requests * _cost(site, policy, measured) + unasked / measured.direct


def _cost(site: Site, policy: Policy, measured: Measured) -> float:
    """Core seconds for a request; what Redis adds is taken to be the same for each policy."""
    cost = 1 / (measured.shared if policy == "shared" else measured.direct)
    if site.redis:
        cost += site.limits * (1 / measured.shared_redis - 1 / measured.shared)
    return cost


def _pool_size(site: Site, requests: float, processes: int) -> int:
    """So many that a Poisson process with this mean exceeds it once in several hundred times."""
    expected = requests / (processes * site.avatars) * site.burst_seconds
    return min(LARGEST_POOL, max(1, math.ceil(expected + 3 * math.sqrt(expected))))


def _idle(site: Site, requests: float, processes: int) -> float:
    """Logins a second that keep all pools fresh while nobody comes."""
    stale = _pool_size(site, requests, processes) / ((1 - FRESH_SHARE) * site.life)
    return processes * site.avatars * min(_refill(site), stale)


def _refill(site: Site) -> float:
    """Logins a second that one pool makes at most."""
    parallel = min(MAX_FILLING, max(1, site.concurrency // 2))
    return min(1 / REFILL_SECONDS, parallel * 1000 / site.login_ms)
