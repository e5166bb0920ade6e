"""The calculator of the page on capacity, beside the arithmetic that it repeats."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markdown import markdown  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from benchmarks.capacity import POLICIES, Site, need
from benchmarks.capacity_page import FIELDS, ROWS, shown
from benchmarks.published import measured, read_tables
from tests.runtime.stage import Stage
from tests.support.browsing import Visit
from tests.support.servers import serving

# As strict as a page with a script can be.
POLICY = "default-src 'none'; script-src 'self'; img-src data:"


@pytest.fixture(scope="module")
def sources(root: Path) -> dict[str, str]:
    docs = root / "example_docs" / "docs"
    return {
        "page": (docs / "deploy" / "capacity.md").read_text(encoding="utf-8"),
        "script": (docs / "assets" / "capacity.js").read_text(encoding="utf-8"),
        "style": (docs / "assets" / "capacity.css").read_text(encoding="utf-8"),
    }


@pytest.fixture(scope="module")
def site(sources: dict[str, str]) -> Iterator[str]:
    """The page without any theme."""
    body = markdown(sources["page"], extensions=["tables"])
    head = '<title>Capacity</title><link rel="icon" href="data:,"><script src="/capacity.js">'
    html = f"<!doctype html><html lang=en>{head}</script>{body}</html>"

    async def page(_: Request) -> Response:
        return HTMLResponse(html, headers={"Content-Security-Policy": POLICY})

    async def script(_: Request) -> Response:
        return Response(sources["script"], media_type="text/javascript")

    with serving(Starlette(routes=[Route("/", page), Route("/capacity.js", script)])) as url:
        yield url


@pytest.fixture
def calculator(site: str, visit: Visit) -> Iterator[Page]:
    visit.page.goto(site)
    yield visit.page
    assert visit.errors() == []


def computed(page: Page, sites: list[Site]) -> list[dict[str, list[str]]]:
    """Value and text of each cell, for each of the sites."""
    found: list[dict[str, list[str]]] = page.evaluate(
        """(sites) => {
          const form = document.querySelector("form.capacity");
          return sites.map((site) => {
            for (const [name, value] of Object.entries(site)) {
              const input = form.elements[name];
              if (input.type === "checkbox") input.checked = value;
              else input.value = String(value);
            }
            form.elements.avatars.dispatchEvent(new Event("input", { bubbles: true }));
            if (form.querySelector("table").hidden) throw new Error(JSON.stringify(site));
            const cells = [...form.querySelectorAll("[data-of]")];
            return Object.fromEntries(
              cells.map(({ dataset, textContent }) => [dataset.of, [dataset.value, textContent]]),
            );
          });
        }""",
        [{name: getattr(site, name) for name in Site.__dataclass_fields__} for site in sites],
    )
    return found


def sites_to_try() -> list[Site]:
    """Corners, and others from anywhere between."""
    found = [
        Site(visits_a_day=visits, token_minutes=minutes, redis=redis)
        for visits in (1, 10_000, 1e9)
        for minutes in (0.5, 60)
        for redis in (False, True)
    ]
    dice = random.Random(3)
    for _ in range(150):
        values: dict[str, Any] = {
            field.name: dice.randint(int(field.least), int(min(field.most, 50)))
            if field.whole
            else field.least * (field.most / field.least) ** dice.random()
            for field in FIELDS
        }
        found.append(replace(Site(), **values, redis=dice.random() < 0.5))
    return found


def test_it_computes_the_same(calculator: Page) -> None:
    figures, sites = measured(read_tables()), sites_to_try()
    for site, cells in zip(sites, computed(calculator, sites), strict=True):
        assert len(cells) == len(POLICIES) * len(ROWS)
        for policy in POLICIES:
            wanted = need(site, policy, figures)
            for name in ROWS:
                value, text = cells[f"{policy}.{name}"]
                right = getattr(wanted, name)
                assert text == shown(wanted, policy, name), (site, policy, name)
                if right is None or isinstance(right, str):
                    assert value == (right or "")
                else:
                    assert float(value) == pytest.approx(right, rel=1e-9), (site, policy, name)


def test_it_begins_with_the_defaults_and_says_what_changes(calculator: Page) -> None:
    status = calculator.get_by_role("status")
    expect(status).to_have_text(
        "Processes: direct 2, pool 2, shared 2. "
        "Logins a day: direct 10,800, pool at least 11,000, shared 24."
    )
    calculator.get_by_label("Visits a day").fill("10000000")
    expect(status).to_contain_text("Processes: direct 10, pool 10, shared 7.")
    calculator.get_by_label("REDIS_URL is set").uncheck()
    expect(status).to_contain_text("Processes: direct 10, pool 10, shared 3.")
    cells = calculator.get_by_role("row", name="Memory of Redis, MB").get_by_role("cell")
    expect(cells).to_have_text(["-", "-", "-"])


def test_pools_that_no_number_of_processes_carries_are_told(calculator: Page) -> None:
    status = calculator.get_by_role("status")
    calculator.get_by_label("Avatars", exact=True).fill("1000")
    expect(status).to_contain_text("Processes: direct 2, pool 2, shared 2.")
    calculator.get_by_label("Life of a token, minutes").fill("0.5")
    expect(status).to_contain_text("Processes: direct 2, pool no number, shared 2.")
    expect(status).to_contain_text("take another policy, or fewer avatars in one service.")


@pytest.mark.parametrize("typed", ["1,5", "1.5", " 1.5 ", "1,50"])
def test_a_comma_is_as_good_as_a_point(calculator: Page, typed: str) -> None:
    minutes = calculator.get_by_label("Life of a token, minutes")
    minutes.clear()
    minutes.press_sequentially(typed)
    expect(minutes).to_have_attribute("aria-invalid", "false")
    held = 90 - 1.5 * 0.2 * 90
    logins = calculator.locator('[data-of="shared.logins"]')
    assert float(logins.get_attribute("data-value") or 0) == pytest.approx(1 / held)


def test_every_field_has_a_label_and_the_keyboard_is_enough(calculator: Page) -> None:
    for field in FIELDS:
        expect(calculator.get_by_label(field.label, exact=True)).to_be_editable()
    calculator.get_by_label("Visits a day").focus()
    for field in FIELDS:
        expect(calculator.get_by_label(field.label, exact=True)).to_be_focused()
        calculator.keyboard.press("Tab")
    calculator.keyboard.press("Space")
    expect(calculator.get_by_label("REDIS_URL is set")).not_to_be_checked()
    calculator.keyboard.press("Shift+Tab")
    calculator.keyboard.type("3")
    calculator.keyboard.press("Enter")
    # The page was not sent anywhere.
    expect(calculator.get_by_label("Windows in RATE_LIMIT")).to_have_value("3")
    assert "?" not in calculator.url


def test_a_wrong_number_is_named(calculator: Page) -> None:
    status, table = calculator.get_by_role("status"), calculator.locator("form table")
    avatars = calculator.get_by_label("Avatars", exact=True)
    for text in ("0", "1.5", "1,5", "", "abc", "-1", "1e1", "1001", "2 3", "1,2,3"):
        avatars.fill(text)
        expect(status).to_have_text("Avatars: a whole number from 1 to 1000.")
        expect(avatars).to_have_attribute("aria-invalid", "true")
        expect(table).to_be_hidden()
    for text in ("1,000", "1.000", "1,000,000"):
        avatars.fill(text)
        expect(status).to_have_text(
            f"Avatars: write thousands without a comma or a point, not as {text}."
        )
        expect(table).to_be_hidden()
    avatars.fill("2")
    expect(avatars).to_have_attribute("aria-invalid", "false")
    expect(status).to_contain_text("Processes")
    expect(table).to_be_visible()


def test_it_fits_the_theme_and_is_there_after_an_instant_navigation(
    sources: dict[str, str], visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    form = sources["page"].partition("<!-- capacity: calculator -->")[2].partition("<!-- end")[0]
    with ExitStack() as stack:
        stage = Stage(stack, tmp_path)
        home = stage.build(
            files={
                "index.md": "# Home\n\n[To it](capacity.md)\n",
                "capacity.md": f"# Capacity\n\n[Back](index.md)\n{form}",
                "assets/capacity.js": sources["script"],
                "assets/capacity.css": sources["style"],
            },
            with_avatar=False,
            extra_css=["assets/capacity.css"],
            extra_javascript=["assets/capacity.js"],
        )
        page = visit.page
        page.goto(home)
        page.evaluate("window.sameDocument = true")
        for _ in range(2):
            page.get_by_role("link", name="To it").click()
            expect(page.get_by_role("status")).to_contain_text("Processes: direct 2")
            page.get_by_label("Visits a day").fill("10000000")
            expect(page.get_by_role("status")).to_contain_text("Processes: direct 10")
            page.get_by_role("article").get_by_role("link", name="Back").click()
            page.get_by_role("link", name="To it").wait_for()
        assert page.evaluate("window.sameDocument") is True

        page.get_by_role("link", name="To it").click()
        visits = page.get_by_label("Visits a day")
        visits.fill("none")
        expect(page.locator("form table")).to_be_hidden()
        # A phone shows each name and the largest number in one line.
        page.set_viewport_size({"width": 360, "height": 800})
        visits.fill("1000000000")
        assert visits.evaluate("field => field.scrollWidth <= field.clientWidth")
        heights = page.evaluate(
            """["visits_a_day", "concurrency"].map(
              (name) => document.querySelector(`label[for=capacity-${name}]`).offsetHeight)"""
        )
        assert heights[0] == heights[1]
