"""Metrics for Prometheus. No label contains data that a visitor sent."""

from __future__ import annotations

import asyncio
import platform
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.responses import Response

from edge_service.errors import HandleMalformed, HandleRefused
from edge_service.telemetry.version import installed_version

__all__ = ["BreakerState", "BudgetState", "Metrics", "PoolState", "WindowState"]

SWITCH_SECONDS = 0.0002
# The interval belongs to the process, which may have several applications.
_RENDERING = threading.Lock()
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class PoolState(Protocol):
    """What a pool of grants reports."""

    @property
    def size(self) -> int:
        """Target number of ready grants."""

    @property
    def level(self) -> int:
        """Grants that are ready."""

    @property
    def age(self) -> float:
        """Age of the oldest ready grant, in seconds."""


class BreakerState(Protocol):
    """What a circuit breaker reports."""

    @property
    def states(self) -> Sequence[str]:
        """All possible states."""

    @property
    def state(self) -> str:
        """The current state."""


class WindowState(Protocol):
    """What a window of a login budget reports."""

    @property
    def name(self) -> str:
        """Such as `day`."""

    @property
    def amount(self) -> int:
        """Logins that it allows."""


class BudgetState(Protocol):
    """What a login budget reports."""

    def left(self) -> Iterable[tuple[WindowState, int]]:
        """Each window, and the logins that are left in it."""


class Metrics:
    """The metrics of one application, in a separate registry.

    Attributes:
        in_flight: requests that have arrived and are not answered yet. A plain number, because
            each request changes it twice, always in the event loop.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info(
            "sentifyd_edge_build",
            "1 for the versions of the service and of Python that run",
            registry=registry,
        ).info({"version": installed_version(), "python": platform.python_version()})
        self.in_flight = 0
        Gauge(
            "sentifyd_edge_requests_in_flight",
            "Requests that have arrived and are not answered yet",
            registry=registry,
        ).set_function(lambda: self.in_flight)
        self._requests = Histogram(
            "sentifyd_edge_request_duration_seconds",
            "Duration of requests by route, status and error code, in seconds",
            ("route", "status", "code"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._logins = Histogram(
            "sentifyd_edge_login_duration_seconds",
            "Duration of logins at Sentifyd by outcome (ok, or the error code), in seconds",
            ("avatar", "outcome"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._issued = Counter(
            "sentifyd_edge_grants",
            "Requested grants by policy and result: hit (one was ready) or miss",
            ("avatar", "policy", "result"),
            registry=registry,
        )
        self._incomplete = Counter(
            "sentifyd_edge_incomplete_logins",
            "Logins whose answer had no avatar parameters",
            ("avatar",),
            registry=registry,
        )
        self._limited = Counter(
            "sentifyd_edge_rate_limited",
            "Requests refused by the rate limit",
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
            "Refused refresh handles by error code",
            ("avatar", "code"),
            registry=registry,
        )
        self._reloads = Counter(
            "sentifyd_edge_reloads",
            "Reloads of the settings by result: ok or failed",
            ("result",),
            registry=registry,
        )
        for result in ("ok", "failed"):
            self._reloads.labels(result)
        self._key_set: Gauge | None = None
        self.states = _States()
        registry.register(self.states)
        self._rendering = asyncio.Lock()
        self._observers: dict[tuple[str, int, str], Histogram] = {}

    async def page(self) -> Response:
        """The response of `/metrics`, in the text format of Prometheus."""
        # Rendering is slow with many avatars, so it runs in a thread, one at a time. The states are
        # read before, because pools change in the event loop.
        async with self._rendering:
            self.states.read()
            text = await asyncio.to_thread(_render, self._registry)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    def observe_request(self, route: str, status: int, code: str, seconds: float) -> None:
        """Record a request.

        Args:
            route: the pattern of the route, never the path.
            status: HTTP status.
            code: error code, or empty.
            seconds: duration.
        """
        observer = self._observers.get((route, status, code))
        if observer is None:
            observer = self._requests.labels(route, str(status), code)
            self._observers[route, status, code] = observer
        observer.observe(seconds)

    def observe_login(self, avatar: str, outcome: str, seconds: float) -> None:
        """Record a login; `outcome` is `ok` or an error code."""
        self._logins.labels(_label(avatar), outcome).observe(seconds)

    def avatar(self, avatar: str, policy: str) -> tuple[Counter, Counter]:
        """Create the series of an avatar, and return its counters of hits and misses.

        All series start at 0, because Prometheus cannot see the first event of a new series.
        """
        self._limited.labels(_label(avatar))
        self._incomplete.labels(_label(avatar))
        for code in (HandleMalformed.code, HandleRefused.code):
            self._handles.labels(_label(avatar), code)
        self._logins.labels(_label(avatar), "ok")
        return (
            self._issued.labels(_label(avatar), policy, "hit"),
            self._issued.labels(_label(avatar), policy, "miss"),
        )

    def incomplete_login(self, avatar: str) -> None:
        """Count a login whose answer had no avatar parameters."""
        self._incomplete.labels(_label(avatar)).inc()

    def limited(self, avatar: str) -> None:
        """Count a request over the rate limit."""
        self._limited.labels(_label(avatar)).inc()

    def redis_fallback(self, part: str, *, active: bool) -> None:
        """Record whether a part of the service works without Redis."""
        self._fallback.labels(part).set(active)

    def handle_refused(self, avatar: str, code: str) -> None:
        """Count a refused refresh handle; `code` is the error code."""
        self._handles.labels(_label(avatar), code).inc()

    def reloaded(self, *, ok: bool) -> None:
        """Count a reload of the settings."""
        self._reloads.labels("ok" if ok else "failed").inc()

    def key_set(self, is_fresh: Callable[[], bool] | None) -> None:
        """Set what the gauge of the key set shows.

        Args:
            is_fresh: returns whether the last fetch succeeded; `None` removes the gauge.
        """
        if self._key_set is not None:
            self._registry.unregister(self._key_set)
            self._key_set = None
        if is_fresh is not None:
            self._key_set = Gauge(
                "sentifyd_edge_key_set_fresh",
                "1 if the last fetch of the key set succeeded; 0 while older keys, or none, are "
                "used",
                registry=self._registry,
            )
            self._key_set.set_function(is_fresh)


class _States(Collector):
    """The states of pools, circuit breakers and budgets, read for each request of the metrics.

    Attributes:
        budgets: login budgets by name of the avatar.
        pools: pools by name of the avatar.
        breakers: circuit breakers by login URL.
    """

    def __init__(self) -> None:
        self.budgets: Mapping[str, BudgetState] = {}
        self.pools: Mapping[str, PoolState] = {}
        self.breakers: Mapping[str, BreakerState] = {}
        self._families: list[GaugeMetricFamily] = []

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The states from the last call of `read`."""
        return self._families

    def read(self) -> None:
        """Read the states; call it in the event loop, where they change."""
        size = GaugeMetricFamily(
            "sentifyd_edge_pool_size", "Target number of ready grants", labels=("avatar",)
        )
        level = GaugeMetricFamily(
            "sentifyd_edge_pool_level", "Number of ready grants", labels=("avatar",)
        )
        age = GaugeMetricFamily(
            "sentifyd_edge_pool_age_seconds", "Age of the oldest ready grant", labels=("avatar",)
        )
        for name, pool in self.pools.items():
            size.add_metric((_label(name),), pool.size)
            level.add_metric((_label(name),), pool.level)
            age.add_metric((_label(name),), pool.age)
        circuits = GaugeMetricFamily(
            "sentifyd_edge_circuit_state",
            "1 for the current state of the circuit breaker of a login URL",
            labels=("upstream", "state"),
        )
        for upstream, breaker in self.breakers.items():
            for state in breaker.states:
                circuits.add_metric((upstream, state), breaker.state == state)
        self._families = [size, level, age, circuits, *self._read_budgets()]

    def _read_budgets(self) -> Iterable[GaugeMetricFamily]:
        labels = ("avatar", "window")
        size = GaugeMetricFamily(
            "sentifyd_edge_login_budget_size", "Logins that a window allows", labels=labels
        )
        left = GaugeMetricFamily(
            "sentifyd_edge_login_budget_left",
            "Logins left in a window when this process last asked",
            labels=labels,
        )
        for name, budget in self.budgets.items():
            for window, units in budget.left():
                size.add_metric((_label(name), window.name), window.amount)
                left.add_metric((_label(name), window.name), units)
        return (size, left)


def _render(registry: CollectorRegistry) -> bytes:
    """Render in a thread, without making the event loop wait.

    Python's default lets the thread hold the interpreter's lock for 5 ms each time that the loop
    wants it, which is several times for a request.
    """
    with _RENDERING:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            return generate_latest(registry)
        finally:
            sys.setswitchinterval(interval)


def _label(avatar: str) -> str:
    """The label of an avatar; Prometheus treats an empty label as missing."""
    return avatar or "(default)"
