"""Test that values which Chromium supports are accepted, and that no value can break out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mkdocs.config.base import ValidationError
from playwright.sync_api import Browser, Page

from mkdocs_sentifyd.options.css import Background, Colour

COLOURS = [
    *("red", "#abc", "#00bfdb80", "transparent", "currentColor", "CanvasText", "AccentColor"),
    *("rgb(1 2 3 / 50%)", "rgba(1, 2, 3, .5)", "hsl(120deg 50% 50%)", "hwb(120 10% 20%)"),
    *("oklch(50% 0.1 20)", "color(display-p3 1 0 0)", "light-dark(red, #fff)"),
    *("color-mix(in srgb, red, blue)", "color-mix(in oklch, red 20%, var(--x))"),
    *("color-mix(red, blue)", "color-mix(in oklch longer hue, red, blue)", "contrast-color(red)"),
    *("var(--x)", "var(--x, red)", "rgb(from red r g b / calc(alpha * 0.5))", "rgb(var(--x))"),
    *("hsl(var(--h) 50% 50%)", "rgba(var(--rgb), .5)", "rgb(calc(1 + 2) 2 3)"),
    *("rgb(none 2 3)", "rgb(clamp(1, 2, 3) round(up, 1.5, 1) 3)", "RGB(1, 2, 3)", "env(x)"),
]
NO_COLOURS = [
    *("bleu", "#12345", "", " ", "red blue", "red,blue", "url(x)", "var()", "1px", "10", "50%"),
    *("linear-gradient(red, blue)", "expression(alert(1))", "bleu(1 2 3)", "rgb(1 2 3px url(x))"),
    *("rgb(1foo 2 3)", "rgb(1 2 3 #12345)", "rgb( )", "calc(1px)", "rgb(= 2 3)"),
]
GRADIENTS = [
    "linear-gradient(red, blue)",
    "linear-gradient(to right, red 10%, 30%, blue)",
    "linear-gradient(to top left, red, calc(10% + 5px), blue)",
    "linear-gradient(0.25turn, #fff 0 10px, var(--x) 100%)",
    "radial-gradient(circle at top, #fff, #000)",
    "radial-gradient(50px 20%, red, blue)",
    "repeating-conic-gradient(from 0deg at 50% 50%, rgb(1 2 3) 0deg 30deg, red 60deg)",
    "repeating-linear-gradient(45deg, red 0 1em, blue 1em 2vw)",
    "linear-gradient(in oklch, red, blue)",
    "linear-gradient(in oklch longer hue to right, red, blue)",
    "linear-gradient(red var(--p), blue)",
    "conic-gradient(from var(--angle), red, blue)",
    "linear-gradient(to right, var(--stops))",
    "linear-gradient(calc(1turn - (45deg + 5deg)), red, color-mix(red, blue) 2cqmin)",
]
NO_GRADIENTS = [
    *("linear-gradient()", "linear-gradient(red, url(x))", "linear-gradient(red, #12345)"),
    *("linear-gradient(red 1foo, blue)", "blur(red, blue)"),
    *("linear-gradient(red, linear-gradient(red, blue))", "linear-gradient(red : blue)"),
]
# In a style attribute, each of these would hide or change what follows.
BREAKING_OUT = [
    *("red; --y: url(//a.example)", "var(--x", "red /*", "red}", "red \\", 'red"', "red'", "red)"),
    *("rgb(1 2 3", "linear-gradient(red, blue", "<b>", "@import", "red!important", "[x]", "{}"),
    *("var(--x, url(//a.example))", "var(--x, image-set(red))", "var(--x, attr(id))"),
    *("var(--x; --y: red)", "var(--x, ';)", "var(--x /*)", "var(--x !important)", "var(--x, })"),
    *("var(--x\0)", ")var(--x(", "var(--x)) var((--y", "linear-gradient(red, blue), url(x)"),
]
FRAGMENTS = [
    *(
        ";",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "\\",
        '"',
        "'",
        "/*",
        "*/",
        "<!--",
        "-->",
        "@",
        "!important",
    ),
    *("url(", "url(//a.example)", "image-set(", "attr(id)", "var(--y", ":", ",", " ", "\n", "red"),
]


def accepts(option: Colour | Background, value: object) -> bool:
    try:
        option.validate(value)
    except ValidationError:
        return False
    return True


Supports = Callable[[str, list[str]], list[str]]


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture(scope="module")
def supports(page: Page) -> Supports:
    """Return the values that Chromium supports for a property."""
    return lambda name, values: page.evaluate(
        "([name, values]) => values.filter(value => CSS.supports(name, value))", [name, values]
    )


def test_only_colours_that_a_browser_supports_are_accepted(supports: Supports) -> None:
    # An older Chromium does not support all of them.
    assert {"red"} <= set(supports("color", COLOURS + NO_COLOURS)) <= set(COLOURS)
    assert [value for value in COLOURS + NO_COLOURS if accepts(Colour(), value)] == COLOURS


def test_only_gradients_that_a_browser_supports_are_accepted(supports: Supports) -> None:
    both = GRADIENTS + NO_GRADIENTS
    taken = {value for value in supports("background-image", both) if "url(" not in value}
    assert {GRADIENTS[0]} <= taken <= set(GRADIENTS)
    assert [value for value in both if accepts(Background(), value)] == GRADIENTS


@pytest.mark.parametrize("value", [*BREAKING_OUT, 3, None, ["red"]])
def test_values_that_break_out_are_rejected(value: object) -> None:
    assert not accepts(Colour(), value)
    assert not accepts(Background(), value)


@st.composite
def changed(draw: st.DrawFn) -> str:
    """Replace parts of a valid value, of up to five characters each, by fragments."""
    text = draw(st.sampled_from(COLOURS + GRADIENTS))
    for fragment in draw(
        st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=2), min_size=1, max_size=3)
    ):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + fragment + text[draw(st.integers(at, min(len(text), at + 5))) :]
    return text


# There is no deadline per example, because the browser may be slow.
@settings(deadline=None, max_examples=300)
@given(value=changed())
def test_accepted_value_does_not_change_the_next_declaration(page: Page, value: str) -> None:
    if not accepts(Background(), value):
        return
    found = page.evaluate(
        """(style) => {
          const element = document.createElement("p");
          element.setAttribute("style", style);
          return [...element.style].map((name) => [name, element.style.getPropertyValue(name)]);
        }""",
        f"--primary-color: {value}; --after: here",
    )
    # A browser that does not support the value drops it, and nothing else.
    assert [pair for pair in found if pair[0] != "--primary-color"] == [["--after", "here"]]
    assert not any(word in value.lower() for word in ("url(", "image", "attr("))
