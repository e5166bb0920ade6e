"""What the service counts, for Prometheus. No label ever holds what a visitor sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.responses import Response

from edge_service.errors import HandleMalformed, HandleRefused

__all__ = ["BreakerState", "Metrics", "PoolState"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class PoolState(Protocol):
    """What a pool of grants reports of itself."""

    @property
    def size(self) -> int:
        """Target number of ready grants."""

    @property
    def level(self) -> int:
        """Grants that are ready."""

    @property
    def age(self) -> float:
        """Age of the oldest of them, in seconds."""


class BreakerState(Protocol):
    """What a circuit breaker reports of itself."""

    @property
    def states(self) -> Sequence[str]:
        """Every state that there is."""

    @property
    def state(self) -> str:
        """The one that it is in."""


class Metrics:
    """The metrics of one application, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Histogram(
            "sentifyd_edge_request_duration_seconds",
            "Requests by route, status and code of the error, and how long they took",
            ("route", "status", "code"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._logins = Histogram(
            "sentifyd_edge_login_duration_seconds",
            "Upstream logins by outcome (ok, or the code of the error), and how long they took",
            ("avatar", "outcome"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._issued = Counter(
            "sentifyd_edge_grants",
            "Grants asked for, by policy and whether one was at hand (hit) or not (miss)",
            ("avatar", "policy", "result"),
            registry=registry,
        )
        self._limited = Counter(
            "sentifyd_edge_rate_limited",
            "Requests over the rate limit",
            ("avatar",),
            registry=registry,
        )
        self._fallback = Gauge(
            "sentifyd_edge_redis_fallback",
            "1 while Redis is unavailable and this process works without it",
            ("part",),
            registry=registry,
        )
        self._handles = Counter(
            "sentifyd_edge_handles_refused",
            "Refresh handles that did not open, by the code of the answer",
            ("avatar", "code"),
            registry=registry,
        )
        self._reloads = Counter(
            "sentifyd_edge_reloads",
            "SIGHUPs by result: ok or failed",
            ("result",),
            registry=registry,
        )
        for result in ("ok", "failed"):
            self._reloads.labels(result)
        self.states = _States()
        registry.register(self.states)
        self._rendering = asyncio.Lock()
        self._observers: dict[tuple[str, int, str], Histogram] = {}

    async def page(self) -> Response:
        """All of them in the text format."""
        # Rendering takes long with many avatars, so it runs in a thread, and once at a time. The
        # states are read here, because pools change in the event loop.
        async with self._rendering:
            self.states.read()
            text = await asyncio.to_thread(generate_latest, self._registry)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    def request(self, route: str, status: int, code: str, seconds: float) -> None:
        """A request was answered; `route` is the pattern of the route, never the path."""
        observer = self._observers.get((route, status, code))
        if observer is None:
            observer = self._requests.labels(route, str(status), code)
            self._observers[route, status, code] = observer
        observer.observe(seconds)

    def login(self, avatar: str, outcome: str, seconds: float) -> None:
        """An upstream login ended."""
        self._logins.labels(_label(avatar), outcome).observe(seconds)

    def avatar(self, avatar: str, policy: str) -> tuple[Counter, Counter]:
        """An avatar is served from now on; the counters of its hits and misses.

        Its other series begin as well: a counter that begins with its first event hides it.
        """
        self._limited.labels(_label(avatar))
        for code in (HandleMalformed.code, HandleRefused.code):
            self._handles.labels(_label(avatar), code)
        self._logins.labels(_label(avatar), "ok")
        return (
            self._issued.labels(_label(avatar), policy, "hit"),
            self._issued.labels(_label(avatar), policy, "miss"),
        )

    def limited(self, avatar: str) -> None:
        """A request was over the limit."""
        self._limited.labels(_label(avatar)).inc()

    def redis_fallback(self, part: str, *, away: bool) -> None:
        """Redis became unavailable, or is available again."""
        self._fallback.labels(part).set(away)

    def handle_refused(self, avatar: str, code: str) -> None:
        """A refresh handle did not open."""
        self._handles.labels(_label(avatar), code).inc()

    def reloaded(self, *, ok: bool) -> None:
        """The avatars were read again, or could not be."""
        self._reloads.labels("ok" if ok else "failed").inc()

    def key_set(self, is_fresh: Callable[[], bool]) -> None:
        """There is a key set, and this tells whether the last fetch of it succeeded."""
        Gauge(
            "sentifyd_edge_key_set_fresh",
            "1 when the last fetch of the key set succeeded; 0 while older keys, or none, serve",
            registry=self._registry,
        ).set_function(is_fresh)


class _States(Collector):
    """The states of pools and circuit breakers, read when the metrics are asked for.

    Attributes:
        pools: by avatar.
        breakers: the circuit breakers, by login URL.
    """

    def __init__(self) -> None:
        self.pools: Mapping[str, PoolState] = {}
        self.breakers: Mapping[str, BreakerState] = {}
        self._families: list[GaugeMetricFamily] = []

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The states as last read."""
        return self._families

    def read(self) -> None:
        """Read the states; call it in the event loop, where they change."""
        size = GaugeMetricFamily(
            "sentifyd_edge_pool_size", "Target number of ready grants", labels=("avatar",)
        )
        level = GaugeMetricFamily(
            "sentifyd_edge_pool_level", "Grants that are ready", labels=("avatar",)
        )
        age = GaugeMetricFamily(
            "sentifyd_edge_pool_age_seconds", "Age of the oldest of them", labels=("avatar",)
        )
        for name, pool in self.pools.items():
            size.add_metric((_label(name),), pool.size)
            level.add_metric((_label(name),), pool.level)
            age.add_metric((_label(name),), pool.age)
        circuits = GaugeMetricFamily(
            "sentifyd_edge_circuit_state",
            "1 for the state that the circuit of an upstream is in",
            labels=("upstream", "state"),
        )
        for upstream, breaker in self.breakers.items():
            for state in breaker.states:
                circuits.add_metric((upstream, state), breaker.state == state)
        self._families = [size, level, age, circuits]


def _label(avatar: str) -> str:
    """No ID has parentheses, and a label without a value is one that is not there."""
    return avatar or "(default)"
