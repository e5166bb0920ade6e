"""Colours and gradients: what is accepted is what Chromium takes, and nothing leaves its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from mkdocs.config.base import ValidationError
from playwright.sync_api import Browser

from mkdocs_sentifyd.options.css import Background, Colour

COLOURS = [
    *("red", "#abc", "#00bfdb80", "transparent", "currentColor", "CanvasText", "AccentColor"),
    *("rgb(1 2 3 / 50%)", "rgba(1, 2, 3, .5)", "hsl(120deg 50% 50%)", "hwb(120 10% 20%)"),
    *("oklch(50% 0.1 20)", "color(display-p3 1 0 0)", "light-dark(red, #fff)"),
    *("color-mix(in srgb, red, blue)", "color-mix(in oklch, red 20%, var(--x))"),
    *("var(--x)", "var(--x, red)", "rgb(from red r g b / calc(alpha * 0.5))", "rgb(var(--x))"),
    *("hsl(var(--h) 50% 50%)", "rgba(var(--rgb), .5)", "rgb(calc(1 + 2) 2 3)"),
]
NO_COLOURS = [
    *("bleu", "#12345", "", " ", "red blue", "rgb(1 2)", "url(x)", "var(x)", "var()", "1px"),
    *("color-mix(foo)", "color-mix(in srgb, red)", "light-dark(red)", "rgb(from foo r g b)"),
    *("linear-gradient(red, blue)", "expression(alert(1))"),
]
GRADIENTS = [
    "linear-gradient(red, blue)",
    "linear-gradient(to right, red 10%, 30%, blue)",
    "linear-gradient(to top left, red, calc(10% + 5px), blue)",
    "linear-gradient(0.25turn, #fff 0 10px, var(--x) 100%)",
    "radial-gradient(circle at top, #fff, #000)",
    "radial-gradient(50px 20%, red, blue)",
    "repeating-conic-gradient(from 0deg at 50% 50%, rgb(1 2 3) 0deg 30deg, red 60deg)",
    "linear-gradient(in oklch, red, blue)",
    "linear-gradient(red var(--p), blue)",
    "conic-gradient(from var(--angle), red, blue)",
    "linear-gradient(to right, var(--stops))",
]
NO_GRADIENTS = [
    *("linear-gradient()", "linear-gradient(red,,blue)"),
    *("linear-gradient(left, red, blue)", "linear-gradient(45, red, blue)"),
    *("conic-gradient(to right, red, blue)", "linear-gradient(red blue, red)"),
    *("linear-gradient(45deg red, blue)", "linear-gradient(30%, red, blue)"),
    *("conic-gradient(red 10px, blue)", "radial-gradient(45deg, red, blue)"),
    *("linear-gradient(red, 20%, 30%)", "linear-gradient(red, url(x))", "url(a.png)"),
]
# Whatever comes after one of these in a style attribute would be lost, or something else.
BREAKING_OUT = [
    *("red; --y: url(//a.example)", "var(--x", "red /*", "red}", "red \\", 'red"', "red'", "red)"),
    *("rgb(1 2 3", "linear-gradient(red, blue", "<b>", "@import", "red!important", "[x]", "{}"),
]


def accepts(option: Colour | Background, value: object) -> bool:
    try:
        option.validate(value)
    except ValidationError:
        return False
    return True


Supports = Callable[[str, list[str]], list[str]]


@pytest.fixture(scope="module")
def supports(browser: Browser) -> Iterator[Supports]:
    """Which values Chromium takes for a property."""
    page = browser.new_page()
    yield lambda name, values: page.evaluate(
        "([name, values]) => values.filter(value => CSS.supports(name, value))", [name, values]
    )
    page.close()


def test_colours_are_those_of_the_browser(supports: Supports) -> None:
    assert supports("color", COLOURS + NO_COLOURS) == COLOURS
    assert [value for value in COLOURS + NO_COLOURS if accepts(Colour(), value)] == COLOURS


def test_gradients_are_those_of_the_browser(supports: Supports) -> None:
    both = GRADIENTS + NO_GRADIENTS
    wanted = [value for value in supports("background-image", both) if "url(" not in value]
    assert wanted == GRADIENTS
    assert [value for value in both if accepts(Background(), value)] == GRADIENTS


@pytest.mark.parametrize("value", [*BREAKING_OUT, 3, None, ["red"]])
def test_nothing_leaves_its_place(value: object) -> None:
    assert not accepts(Colour(), value)
    assert not accepts(Background(), value)
