"""Test the accessibility of launcher, message and avatar."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import ViewportSize

from tests.runtime.stage import INSTANT, MATERIAL, MKDOCS, READTHEDOCS, Stage, Theme, Visitor

Scheme = Literal["light", "dark"]
ASKED = {"load": "interaction"}
FOLLOWING = {**ASKED, "appearance": {"follow_palette": True}}
LAUNCHER = "[data-sentifyd-launcher]"
PHONE: ViewportSize = {"width": 360, "height": 640}
OVERFLOW = "document.documentElement.scrollWidth"
THEMES = pytest.mark.parametrize(
    "theme",
    [INSTANT, MATERIAL, MKDOCS, READTHEDOCS],
    ids=["instant", "material", "mkdocs", "readthedocs"],
)


def _violations(visitor: Visitor, selector: str) -> list[str]:
    results = Axe().run(visitor.page, selector)
    return [
        f"{violation['id']}: {node['html']} {node['failureSummary']}"
        for violation in results.response["violations"]
        for node in violation["nodes"]
    ]


def _themed(theme: Theme, scheme: str) -> Theme:
    if theme["name"] == "material":
        return {**theme, "palette": {"scheme": "slate" if scheme == "dark" else "default"}}
    return {**theme, "color_mode": scheme} if theme["name"] == "mkdocs" else theme


@pytest.mark.parametrize("options", [ASKED, FOLLOWING], ids=["own", "following"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@THEMES
def test_launcher_is_accessible(
    stage: Stage,
    visitor: Visitor,
    theme: Theme,
    scheme: Scheme,
    options: dict[str, Any],
) -> None:
    visitor.page.emulate_media(color_scheme=scheme)
    visitor.open(stage.build(options, theme=_themed(theme, scheme)))
    visitor.launcher().wait_for()

    assert _violations(visitor, LAUNCHER) == []
    # Axe only checks text; an icon needs 3:1 (WCAG 2.2, 1.4.11).
    assert _contrast(visitor) >= 3


def _contrast(visitor: Visitor) -> float:
    """Return the contrast between the launcher and its icon."""
    ratio: float = visitor.launcher().evaluate(
        """(button) => {
          const luminance = (colour) => {
            const context = document.createElement("canvas").getContext("2d");
            context.fillStyle = colour;
            context.fillRect(0, 0, 1, 1);
            const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((value) => {
              const c = value / 255;
              return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const { backgroundColor, color } = getComputedStyle(button);
          const [dark, light] = [backgroundColor, color].map(luminance).sort((a, b) => a - b);
          return (light + 0.05) / (dark + 0.05);
        }"""
    )
    return ratio


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("theme", [INSTANT, MKDOCS], ids=["instant", "mkdocs"])
def test_failure_message_is_accessible_and_visible(
    stage: Stage,
    visitor: Visitor,
    theme: Theme,
    scheme: Scheme,
) -> None:
    visitor.page.emulate_media(color_scheme=scheme)
    visitor.page.set_viewport_size(PHONE)
    stage.has_loader = False
    options = {**ASKED, "loader": {"url": stage.late_loader}}
    visitor.open(stage.build(options, theme=_themed(theme, scheme)))
    visitor.launcher().click()
    message = visitor.launcher_status()
    message.get_by_text("Please try again").wait_for()

    assert _violations(visitor, LAUNCHER) == []
    box = message.bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]


ASKING = {**ASKED, "consent": "sentifyd", "brand": {"privacy_url": "plain/"}}
# What makes one button more prominent than another.
PROMINENCE = """button => {
  const { color, backgroundColor, borderColor, borderWidth, font } = getComputedStyle(button);
  const { width, height } = button.getBoundingClientRect();
  return [color, backgroundColor, borderColor, borderWidth, font, width, height];
}"""


@pytest.mark.parametrize(
    ("theme", "scheme", "language", "forced"),
    [
        (MATERIAL, "dark", "ar", "none"),
        (MKDOCS, "light", "de", "none"),
        (MKDOCS, "dark", "en", "active"),
    ],
    ids=["arabic, dark", "german", "forced colours"],
)
def test_question_for_consent_is_accessible_and_visible(
    stage: Stage,
    visitor: Visitor,
    theme: Theme,
    scheme: Scheme,
    language: str,
    forced: Literal["none", "active"],
) -> None:
    page = visitor.page
    page.emulate_media(color_scheme=scheme, forced_colors=forced)
    page.set_viewport_size({"width": 320, "height": 568})
    visitor.open(stage.build({**ASKING, "ui_language": language}, theme=_themed(theme, scheme)))
    visitor.launcher().press("Enter")
    question = visitor.question()
    question.wait_for()

    assert _violations(visitor, LAUNCHER) == []
    assert page.evaluate(OVERFLOW) == 320
    direction = "element => getComputedStyle(element).direction"
    assert question.evaluate(direction) == ("rtl" if language == "ar" else "ltr")
    assert question.get_attribute("lang") == language
    allow, refuse = (button.evaluate(PROMINENCE) for button in question.get_by_role("button").all())
    assert allow == refuse
    for part in (question, *question.get_by_role("button").all()):
        box = part.bounding_box()
        assert box
        assert 0 <= box["x"] <= box["x"] + box["width"] <= 320
        assert 0 <= box["y"] <= box["y"] + box["height"] <= 568


def test_question_for_consent_scrolls_on_a_low_screen(stage: Stage, visitor: Visitor) -> None:
    """320 by 256 pixels are 1280 by 1024 at 400 % (WCAG 2.2, 1.4.10)."""
    page = visitor.page
    page.set_viewport_size({"width": 320, "height": 256})
    visitor.open(stage.build({**ASKING, "ui_language": "de"}, theme=_themed(MKDOCS, "light")))
    visitor.launcher().press("Enter")

    # The theme has a bar at the top.
    bar = page.locator(".navbar").evaluate("bar => bar.offsetHeight")
    text, button = visitor.question().locator("p"), visitor.question().get_by_role("button").last
    box = text.bounding_box()
    assert box
    assert box["y"] >= bar
    button.focus()
    box = button.bounding_box()
    assert box
    assert bar <= box["y"] <= box["y"] + box["height"] <= 256


@THEMES
def test_open_avatar_is_accessible(stage: Stage, visitor: Visitor, theme: Theme) -> None:
    visitor.open(stage.build(ASKED, theme=theme))
    visitor.launcher().click()
    visitor.wait_until_connected()

    assert _violations(visitor, "sentifyd-bot") == []


@THEMES
def test_launcher_and_avatar_fit_a_narrow_screen(
    stage: Stage, visitor: Visitor, theme: Theme
) -> None:
    page = visitor.page
    page.set_viewport_size(PHONE)
    visitor.open(stage.build(theme=theme, with_avatar=False))
    width = page.evaluate(OVERFLOW)
    visitor.open(stage.build(ASKED, theme=theme))
    box = visitor.launcher().bounding_box()
    assert box
    assert box["x"] + box["width"] <= PHONE["width"]
    assert box["y"] + box["height"] <= PHONE["height"]
    assert page.evaluate(OVERFLOW) == width

    # A click fails if another element covers it.
    visitor.launcher().click()
    visitor.wait_until_connected()

    panel = page.get_by_role("region", name="Sandbox avatar").bounding_box()
    assert panel
    assert 0 <= panel["x"] <= panel["x"] + panel["width"] <= PHONE["width"]
    assert 0 <= panel["y"] <= panel["y"] + panel["height"] <= PHONE["height"]
    assert page.evaluate(OVERFLOW) == width
