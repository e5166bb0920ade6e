"""Option types for CSS values, which must not break out of the style attribute.

Only known functions and units are accepted, because browsers silently ignore unknown ones. The
order and the keywords of a function's arguments are not checked.

Syntax: CSS Color Module Level 5, CSS Images Module Level 4 (gradients), CSS Values and Units Module
Level 4.
"""

from __future__ import annotations

import re
from typing import Any

from mkdocs.config.base import BaseConfigOption, ValidationError

__all__ = ["Background", "Colour", "Pixels"]

MAX_PIXELS = 10_000
MAX_LENGTH = 500
_COLOURS = {
    *("rgb", "rgba", "hsl", "hsla", "hwb", "lab", "lch", "oklab", "oklch", "color", "color-mix"),
    *("contrast-color", "light-dark", "alpha", "var", "env"),
}
_GRADIENTS = {
    f"{repeating}{kind}-gradient"
    for repeating in ("", "repeating-")
    for kind in ("linear", "radial", "conic")
}
_ARGUMENTS = _COLOURS | {
    *("calc", "min", "max", "clamp", "round", "mod", "rem", "abs", "sign", "sin", "cos", "tan"),
    *("asin", "acos", "atan", "atan2", "pow", "sqrt", "hypot", "log", "exp", "progress", "random"),
}
_SYSTEM_COLOURS = {
    *("accentcolor", "accentcolortext", "activetext", "buttonborder", "buttonface", "buttontext"),
    *("canvas", "canvastext", "field", "fieldtext", "graytext", "highlight", "highlighttext"),
    *("linktext", "mark", "marktext", "selecteditem", "selecteditemtext", "visitedtext"),
}
_UNITS = {
    *("deg", "grad", "rad", "turn", "px", "cm", "mm", "q", "in", "pc", "pt"),
    *("em", "ex", "cap", "ch", "ic", "lh", "rem", "rex", "rcap", "rch", "ric", "rlh"),
    *(f"{size}{side}" for size in ("", "s", "l", "d") for side in ("vw", "vh", "vi", "vb")),
    *(f"{size}{side}" for size in ("v", "sv", "lv", "dv", "cq") for side in ("min", "max")),
    *("cqw", "cqh", "cqi", "cqb"),
}
_PLAIN = {"whitespace", "ident", "number", "percentage"}
# Characters that end a value, start a comment or a string, or escape something.
_UNSAFE = re.compile(r"[\\\"'{}\[\];<>@!\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|/\*")


class Pixels(BaseConfigOption[int]):
    """A length in whole pixels, from 0 to 10,000."""

    def run_validation(self, value: object) -> int:
        """Return the number of pixels."""
        if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,6}) ?(?:px)?", value)):
            value = int(match[1])
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_PIXELS:
            raise ValidationError(
                f"must be whole pixels from 0 to {MAX_PIXELS}, such as 400 or 400px"
            )
        return value


class Colour(BaseConfigOption[str]):
    """A CSS colour."""

    def run_validation(self, value: object) -> str:
        """Return the colour without surrounding spaces."""
        if not isinstance(value, str) or not _is_value(value, _COLOURS):
            raise ValidationError(
                "must be a CSS colour, such as teal, '#00bfdb', rgb(0 191 219) or "
                "var(--md-primary-fg-color)"
            )
        return value.strip()


class Background(BaseConfigOption[str]):
    """A CSS colour or gradient."""

    def run_validation(self, value: object) -> str:
        """Return the background without surrounding spaces."""
        if not isinstance(value, str) or not (_is_value(value, _COLOURS) or _is_gradient(value)):
            raise ValidationError(
                "must be a CSS colour or gradient, such as '#f5f7f8' or "
                "linear-gradient(160deg, teal, navy)"
            )
        return value.strip()


def _is_value(text: str, functions: set[str]) -> bool:
    """Whether a text is one colour, or one of these functions with safe arguments."""
    from tinycss2 import color5, parse_one_component_value

    # The parser accepts a missing `)` at the end, but in a page the function would not end there.
    if len(text) > MAX_LENGTH or _UNSAFE.search(text) or text.count("(") != text.count(")"):
        return False
    node: Any = parse_one_component_value(text)
    if node.type == "function":
        return node.lower_name in functions and _are_plain(node.arguments)
    is_system_colour = node.type == "ident" and node.lower_value in _SYSTEM_COLOURS
    return is_system_colour or color5.parse_color(node) is not None


def _is_gradient(text: str) -> bool:
    # Most browsers require two colours in a gradient; a variable may contain several.
    return ("," in text or "var(" in text.lower()) and _is_value(text, _GRADIENTS)


def _are_plain(nodes: list[Any]) -> bool:
    """Whether there is a value, and no URL, unknown function or syntax error among them."""
    return all(map(_is_plain, nodes)) and any(node.type != "whitespace" for node in nodes)


def _is_plain(node: Any) -> bool:  # noqa: ANN401 - the parser's nodes have no common type
    from tinycss2 import color5

    match node.type:
        case "function":
            return node.lower_name in _ARGUMENTS and _are_plain(node.arguments)
        case "() block":
            return _are_plain(node.content)
        case "dimension":
            return node.lower_unit in _UNITS
        case "hash":
            return color5.parse_color(node) is not None
        case "literal":
            return node.value in {",", "/", "+", "-", "*"}
        case _:
            return node.type in _PLAIN
