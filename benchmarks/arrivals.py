"""Measure page views with an empty cache: requests, paint and layout shift."""

from __future__ import annotations

from playwright.sync_api import Browser

from benchmarks.figures import Table, summary
from benchmarks.modes import MODES, Mode, Places
from benchmarks.pairs import RATIO, in_pairs, ratio_cells, rounds_and_interval
from benchmarks.visits import Paint, Traffic, visiting

__all__ = ["measure_paint", "measure_requests"]

NOTHING = Traffic(0)


def measure_requests(browser: Browser, places: Places) -> Table:
    """Count the requests that a page view adds to the plain twin, and then the first use."""
    rows = []
    for mode in MODES:
        plain, _ = _requests(browser, mode.plain, places)
        before, after = _requests(browser, mode, places)
        added = [_cell(one - other) for one, other in zip(before, plain, strict=True)]
        used = [_cell(one - other) for one, other in zip(after, before, strict=True)]
        rows.append([mode.name, *added, *(used if mode.opens else ["", ""])])
    return Table(
        "Requests that an avatar adds to a page view, and then its first use",
        ["", "own site", "third party", "own site, used", "third party, used"],
        rows,
    )


def measure_paint(browser: Browser, places: Places, rounds: int) -> list[Table]:
    """Measure page views on a slow machine and network."""

    def view(mode: Mode) -> Paint:
        with visiting(browser, mode, places.address(mode.site)) as visit:
            visit.slow_down()
            visit.begin()
            return visit.paint()

    largest, shifts = [], []
    for name, pairs in in_pairs(MODES, rounds, view).items():
        cells = ratio_cells((ours.largest, plain.largest) for ours, plain in pairs)
        largest.append([name, *cells])
        shift = summary([ours.shift - plain.shift for ours, plain in pairs])
        ends = f"{shift.lowest:z.3f} to {shift.highest:z.3f}"
        shifts.append([name, f"{shift.median:z.3f}", ends])
    return [
        Table(
            "Largest contentful paint on a slow machine and network, divided by that of the plain "
            f"twin; {rounds_and_interval(rounds)}",
            ["", *RATIO],
            largest,
        ),
        Table(
            f"Cumulative layout shift, less that of the plain twin; {rounds} rounds",
            ["", "difference", "rounds"],
            shifts,
        ),
    ]


def _requests(
    browser: Browser, mode: Mode, places: Places
) -> tuple[tuple[Traffic, Traffic], tuple[Traffic, Traffic]]:
    """Count requests to the site and to third parties, before and after the avatar is opened."""
    with visiting(browser, mode, places.address(mode.site)) as visit:

        def so_far() -> tuple[Traffic, Traffic]:
            others = visit.traffic(places.sandbox.port, places.tokens.port)
            return visit.traffic(places.pages.port), others + Traffic(visit.sockets)

        visit.begin()
        before = so_far()
        if mode.opens:
            visit.use()
        return before, so_far()


def _cell(traffic: Traffic) -> str:
    if traffic == NOTHING:
        return "none"
    return f"{traffic.requests} ({traffic.size / 1000:.1f} KB)"
