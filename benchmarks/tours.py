"""Visits of many pages with instant navigation: the time that each takes, and what they leave."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from playwright.sync_api import Browser

from benchmarks.figures import Table
from benchmarks.modes import MODES, Mode, Places
from benchmarks.pairs import RATIO, in_pairs, ratio_cells, times_told
from benchmarks.visits import visiting

__all__ = ["measure_navigation"]

# The browser compiles what it has run a few times.
WARM_UP = 10


class Tour(NamedTuple):
    """A visit.

    Attributes:
        navigation: milliseconds of its median navigation.
        work: milliseconds of CPU time that the page's main thread works for one.
        loaders: how often the loader was asked for.
        sockets: how often the avatar connected.
        listeners: that are more after it than before.
        nodes: the same of these.
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
    """Tours with an avatar that the visitor has met; an even number ends where it began."""
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
        Table(f"Median time {of_all}; {times_told(rounds)}", ["", *RATIO], times),
        Table(f"CPU time of the main thread {of_all}; {times_told(rounds)}", ["", *RATIO], work),
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
        # Every second one goes home, so that it is the same page that is weighed.
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
