"""The tables and the calculator of the documentation's page on capacity.

Run it in the clone's folder, after figures or the arithmetic changed:
`python -m benchmarks.capacity_page`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from html import escape
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from benchmarks import capacity
from benchmarks.capacity import POLICIES, Measured, Need, Policy, Site, most_visits, need
from benchmarks.environment import ROOT
from benchmarks.published import measured, read_tables
from edge_service.avatars import MAX_FILLING
from edge_service.pool import FRESH_SHARE, REFILL_SECONDS
from edge_service.shared import EARLY_SECONDS, EARLY_SHARE

__all__ = ["FIELDS", "PAGE", "ROWS", "filled_in", "shown", "told"]

PAGE = ROOT / "example_docs" / "docs" / "deploy" / "capacity.md"
VISITS = (10_000, 100_000, 1_000_000, 10_000_000)
_PART = re.compile(r"(<!-- capacity: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


class Field(NamedTuple):
    """A field of the calculator.

    Attributes:
        name: of the attribute of `Site`.
        label: what a visitor reads.
        why: where the default comes from.
        least: smallest number.
        most: largest number.
        whole: whether only whole numbers make sense.
    """

    name: str
    label: str
    why: str
    least: float
    most: float
    whole: bool = False


FIELDS = (
    Field(
        "visits_a_day",
        "Visits a day",
        "yours; each browser tab is one, because the component keeps its tokens for the tab",
        1,
        1e9,
    ),
    Field(
        "busiest_hour",
        "Of these in the busiest hour, %",
        "assumed; an even day has 4.2",
        1,
        100,
    ),
    Field(
        "busiest_minute",
        "Busiest minute, times the mean of that hour",
        "assumed; a newsletter makes more",
        1,
        60,
    ),
    Field(
        "opened",
        "Visits whose avatar asks for tokens, %",
        "all with `load: eager` and `idle`; else those who want it",
        0.1,
        100,
    ),
    Field("visit_minutes", "Minutes with the avatar in a visit", "assumed", 0.1, 600),
    Field(
        "token_minutes",
        "Life of a token, minutes",
        "Sentifyd's live about an hour or less",
        0.5,
        1440,
    ),
    Field(
        "login_ms",
        "A login at Sentifyd, ms",
        "assumed; `sentifyd_edge_login_duration_seconds` tells yours",
        1,
        5000,
    ),
    Field(
        "concurrency",
        "UPSTREAM_CONCURRENCY",
        "the variable's default",
        1,
        1024,
        whole=True,
    ),
    Field("avatars", "Avatars", "that share the visits evenly", 1, 1000, whole=True),
    Field(
        "use",
        "How much of a process may be in use, %",
        "assumed; the other half is for what the mean does not show",
        1,
        100,
    ),
    Field(
        "least_processes",
        "Processes in any case",
        "one answers while the other is restarted",
        1,
        1000,
        whole=True,
    ),
    Field(
        "herd_seconds",
        "Seconds to answer all when a shared token ends",
        "assumed; how long the component waits is not known",
        0.1,
        600,
    ),
    Field("burst_seconds", "Seconds of the peak that a pool holds", "assumed", 0.1, 600),
    Field("limits", "Windows in RATE_LIMIT", "`30/minute` is one", 1, 4, whole=True),
)
ROWS = {
    "requests": "Token requests a second",
    "logins": "Logins a second",
    "logins_a_day": "Logins a day",
    "in_flight": "Logins at once",
    "cores": "Cores that are busy",
    "bound": "What limits a process",
    "processes": "Processes",
    "pool_size": "TOKEN_POOL_SIZE",
    "from_pool": "Answered from the pool, %",
    "herd": "Whose token ends at once, at most",
    "redis_calls": "Round trips to Redis a second",
    "redis_megabytes": "Memory of Redis, MB",
}


def told(number: float) -> str:
    """A number as the page tells it: two digits that count, or three from a thousand on."""
    if number == 0:
        return "none"
    if number < 0.001:
        return "< 0.001"
    exact = Decimal(number)
    step = exact.adjusted() - 1 if number < 10 else max(0, exact.adjusted() - 2)
    # Halves go up, as they do in the browser.
    rounded = float(exact.quantize(Decimal(1).scaleb(step), ROUND_HALF_UP))
    return f"{rounded:g}" if rounded < 10 else f"{rounded:,.0f}"


def shown(found: Need, policy: Policy, name: str) -> str:
    """A value of what a policy needs, as tables and calculator show it; a dash has none."""
    value = getattr(found, name)
    if value is None:
        return "no number" if name == "processes" else "-"
    if isinstance(value, str):
        return value
    if policy == "pool" and name == "logins_a_day":
        return f"at least {told(value)}"
    return told(value)


def filled_in(text: str, figures: Measured) -> str:
    """The page with every part computed anew."""
    parts = {
        "process": _process_table,
        "visitors": _visitors_table,
        "policies": _policies_table,
        "moments": _moments_table,
        "calculator": _calculator,
        "defaults": _defaults,
    }
    return _PART.sub(lambda found: f"{found[1]}{parts[found[2]](figures)}\n{found[3]}", text)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    # Blank lines, because a comment would otherwise take the table for its own.
    return "\n".join(["", *(f"| {' | '.join(line)} |" for line in lines), ""])


def _process_table(figures: Measured) -> str:
    rows = []
    for policy in POLICIES:
        cells = []
        for redis in (False, True):
            site = Site(redis=redis)
            cells.append(told(most_visits(site, policy, figures)))
        rows.append([f"`{policy}`", *cells, need(Site(), policy, figures).bound])
    header = ["Policy", "Visits a day, without Redis", "With Redis", "What limits it"]
    return _table(header, rows)


def _visitors_table(figures: Measured) -> str:
    rows = []
    for visits in VISITS:
        site = Site(visits_a_day=visits)
        needs = [need(site, policy, figures) for policy in POLICIES]
        most = [
            max(getattr(one, name) for one in needs)
            for name in ("requests", "redis_calls", "redis_megabytes")
        ]
        rows.append([f"{visits:,}", told(site.present), *map(told, most)])
    header = [
        "Visits a day",
        "Visitors at once",
        "Requests a second",
        "Redis, round trips a second",
    ]
    return _table([*header, "Redis, MB"], rows)


def _policies_table(figures: Measured) -> str:
    rows = []
    for visits in VISITS:
        for policy in POLICIES:
            found = need(Site(visits_a_day=visits), policy, figures)
            name = f"{visits:,}" if policy == POLICIES[0] else ""
            names = ("logins", "logins_a_day", "cores", "processes")
            rows.append([name, f"`{policy}`", *(shown(found, policy, one) for one in names)])
    header = ["Visits a day", "Policy", "Logins a second", "Logins a day"]
    return _table([*header, "Cores busy", "Processes"], rows)


def _moments_table(figures: Measured) -> str:
    rows = []
    for visits in VISITS:
        pool, shared = (
            need(Site(visits_a_day=visits), policy, figures) for policy in ("pool", "shared")
        )
        cells = [shown(pool, "pool", name) for name in ("pool_size", "from_pool")]
        rows.append([f"{visits:,}", *cells, shown(shared, "shared", "herd")])
    header = ["Visits a day", "`TOKEN_POOL_SIZE`", "Answered from the pool, %"]
    return _table([*header, "Whose shared token ends at once"], rows)


def _defaults(_: Measured) -> str:
    lines = []
    for field in FIELDS:
        label = re.sub("[A-Z_]{6,}", r"`\g<0>`", field.label)
        lines.append(f"- *{label}*, {getattr(Site(), field.name):,g}: {field.why}.")
    return "\n".join(["", *lines, ""])


def _calculator(figures: Measured) -> str:
    constants = {
        **figures._asdict(),
        "freshShare": FRESH_SHARE,
        "refillSeconds": REFILL_SECONDS,
        "filling": MAX_FILLING,
        "earlySeconds": EARLY_SECONDS,
        "earlyShare": EARLY_SHARE,
        "earlyTimes": capacity.EARLY_TIMES,
        "largestPool": capacity.LARGEST_POOL,
        "windowSeconds": capacity.WINDOW_SECONDS,
        "counterBytes": capacity.COUNTER_BYTES,
    }
    head = "".join(f'<th scope="col">{policy}</th>' for policy in POLICIES)
    cells = {
        name: "".join(f'<td data-of="{policy}.{name}"></td>' for policy in POLICIES)
        for name in ROWS
    }
    body = [
        f'<tr><th scope="row">{escape(label)}</th>{cells[name]}</tr>'
        for name, label in ROWS.items()
    ]
    return "\n".join(
        [
            f"<form class=\"capacity\" data-constants='{json.dumps(constants)}' hidden>",
            *chain.from_iterable(_input(field) for field in FIELDS),
            '<label for="capacity-redis">REDIS_URL is set</label>',
            '<input id="capacity-redis" name="redis" type="checkbox" checked>',
            '<p role="status"></p>',
            f"<table><thead><tr><td></td>{head}</tr></thead>",
            "<tbody>",
            *body,
            "</tbody></table>",
            "</form>",
        ]
    )


def _input(field: Field) -> list[str]:
    value = getattr(Site(), field.name)
    whole = " data-whole" if field.whole else ""
    # Text, because a field for numbers drops a comma where the browser's language has a point.
    return [
        f'<label for="capacity-{field.name}">{escape(field.label)}</label>',
        f'<input id="capacity-{field.name}" name="{field.name}" type="text" autocomplete="off" '
        f'inputmode="{"numeric" if field.whole else "decimal"}" value="{value:g}" '
        f'data-least="{field.least:g}" data-most="{field.most:.0f}"{whole}>',
    ]


def main(page: Path = PAGE) -> None:
    """Write the page."""
    text = page.read_text(encoding="utf-8")
    page.write_text(filled_in(text, measured(read_tables())), encoding="utf-8")


if __name__ == "__main__":
    main()
