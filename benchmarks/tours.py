"""Measure visits of many pages with instant navigation: time, and growth of the page."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from playwright.sync_api import Browser

from benchmarks.figures import Table
from benchmarks.modes import MODES, Mode, Places
from benchmarks.pairs import RATIO, in_pairs, ratio_cells, rounds_and_interval
from benchmarks.visits import visiting

__all__ = ["measure_navigation"]

# Number of navigations after which the browser has compiled the scripts.
WARM_UP = 10


class Tour(NamedTuple):
    """A visit.

    Attributes:
        navigation: median time of a navigation, in milliseconds.
        work: CPU time of the page's main thread per navigation, in milliseconds.
        loaders: number of requests for the loader.
        sockets: number of WebSocket connections of the avatar.
        listeners: growth of the number of event listeners.
        nodes: growth of the number of DOM nodes.
    """

    navigation: float
    work: float
    loaders: int
    sockets: int
    listeners: int
    nodes: int


def measure_navigation(
    browser: Browser, places: Places, rounds: int, navigations: int
) -> list[Table]:
    """Measure tours with a loaded avatar; with an even number they end where they began."""
    modes = [mode for mode in MODES if mode.site.is_instant]
    times, work, counts = [], [], []
    found = in_pairs(modes, rounds, lambda mode: _tour(browser, mode, places, navigations))
    for name, pairs in found.items():
        clock = ratio_cells((ours.navigation, plain.navigation) for ours, plain in pairs)
        times.append([name, *clock])
        processor = ratio_cells((ours.work, plain.work) for ours, plain in pairs)
        work.append([name, *processor])
        ours, plain = (
            [_range(values) for values in zip(*tours, strict=True)]
            for tours in zip(*pairs, strict=True)
        )
        counts.append([name, *ours[2:], *plain[4:]])
    of_all = f"of {navigations} instant navigations, divided by that of the plain twin"
    return [
        Table(f"Median time {of_all}; {rounds_and_interval(rounds)}", ["", *RATIO], times),
        Table(
            f"CPU time of the main thread {of_all}; {rounds_and_interval(rounds)}",
            ["", *RATIO],
            work,
        ),
        Table(
            f"{navigations} instant navigations, {rounds} rounds: requests in the whole visit, and "
            "growth after a garbage collection",
            ["", "loader", "WebSockets", "listeners", "nodes", "listeners, plain", "nodes, plain"],
            counts,
        ),
    ]


def _tour(browser: Browser, mode: Mode, places: Places, navigations: int) -> Tour:
    with visiting(browser, mode, places.address(mode.site)) as visit:
        visit.begin()
        if mode.opens and not mode.comes:
            visit.use()
        # Every second navigation goes home, so that the same page is measured before and after.
        others = visit.page.eval_on_selector_all(
            ".md-nav__link[href*='page-']", "links => links.map((link) => link.href)"
        )
        addresses = [
            visit.address if number % 2 else others[number // 2 % len(others)]
            for number in range(WARM_UP + navigations)
        ]
        for address in addresses[:WARM_UP]:
            visit.navigate(address)
        before = visit.weight()
        worked = visit.work()
        taken = [visit.navigate(address) for address in addresses[WARM_UP:]]
        worked = visit.work() - worked
        after = visit.weight()
        return Tour(
            statistics.median(taken),
            worked / navigations,
            visit.asked_for(places.loader),
            visit.sockets,
            after.listeners - before.listeners,
            after.nodes - before.nodes,
        )


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low} to {high}"
