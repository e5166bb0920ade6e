"""What the service counts, for Prometheus. No label ever holds what a visitor sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

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

from edge_service.circuit import CircuitState

if TYPE_CHECKING:
    from edge_service.pool import Pool

__all__ = ["Metrics"]

_STATES: tuple[CircuitState, ...] = ("closed", "half-open", "open")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one application, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Histogram(
            "sentifyd_edge_request_duration_seconds",
            "Requests by route and status, and how long they took",
            ("route", "status"),
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
        self._circuits = Gauge(
            "sentifyd_edge_circuit_state",
            "1 for the state that the circuit of an upstream is in",
            ("upstream", "state"),
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
            "1 while Redis cannot be reached and this process goes on by itself",
            ("part",),
            registry=registry,
        )
        self._handles = Counter(
            "sentifyd_edge_handles_refused",
            "Refresh handles that did not open, by the code of the answer",
            ("avatar", "code"),
            registry=registry,
        )
        self._pools = _Pools()
        registry.register(self._pools)
        self._observers: dict[tuple[str, int], Histogram] = {}

    def page(self) -> Response:
        """All of them in the text format."""
        return Response(
            generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is the pattern of the route, never the path."""
        observer = self._observers.get((route, status))
        if observer is None:
            observer = self._observers[route, status] = self._requests.labels(route, str(status))
        observer.observe(seconds)

    def login(self, avatar: str, outcome: str, seconds: float) -> None:
        """An upstream login ended."""
        self._logins.labels(_label(avatar), outcome).observe(seconds)

    def issued(self, avatar: str, policy: str) -> tuple[Counter, Counter]:
        """The counters of hits and misses."""
        return (
            self._issued.labels(_label(avatar), policy, "hit"),
            self._issued.labels(_label(avatar), policy, "miss"),
        )

    def circuit(self, upstream: str, state: CircuitState) -> None:
        """The circuit of an upstream is in this state now."""
        for other in _STATES:
            self._circuits.labels(upstream, other).set(other == state)

    def circuit_gone(self, upstream: str) -> None:
        """An upstream is not used any more: an alert on its circuit would never end."""
        for state in _STATES:
            self._circuits.remove(upstream, state)

    def limited(self, avatar: str) -> None:
        """A request was over the limit."""
        self._limited.labels(_label(avatar)).inc()

    def redis_fallback(self, part: str, *, away: bool) -> None:
        """Redis went away, or is back."""
        self._fallback.labels(part).set(away)

    def handle_refused(self, avatar: str, code: str) -> None:
        """A refresh handle did not open."""
        self._handles.labels(_label(avatar), code).inc()

    def pools(self, pools: dict[str, Pool]) -> None:
        """The pools that there are now, by avatar."""
        self._pools.pools = pools


class _Pools(Collector):
    """Asks the pools when somebody looks, so that a level is never an old one."""

    def __init__(self) -> None:
        self.pools: dict[str, Pool] = {}

    def collect(self) -> Iterable[GaugeMetricFamily]:
        level = GaugeMetricFamily(
            "sentifyd_edge_pool_level", "Grants that are ready", labels=("avatar",)
        )
        age = GaugeMetricFamily(
            "sentifyd_edge_pool_age_seconds", "Age of the oldest of them", labels=("avatar",)
        )
        for name, pool in self.pools.items():
            level.add_metric((_label(name),), pool.level)
            age.add_metric((_label(name),), pool.age)
        return level, age


def _label(avatar: str) -> str:
    """No ID has parentheses, and a label without a value is one that is not there."""
    return avatar or "(default)"
