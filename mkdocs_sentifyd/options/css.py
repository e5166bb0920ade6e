"""CSS values in options: checked here, because a browser drops a wrong one without a word.

Syntax: CSS Color Module Level 5, CSS Images Module Level 4 (gradients).
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

from mkdocs.config.base import BaseConfigOption, ValidationError

__all__ = ["Background", "Colour", "Pixels"]

MAX_PIXELS = 10_000
MAX_LENGTH = 500
_COLOUR_FUNCTIONS = {
    *("rgb", "rgba", "hsl", "hsla", "hwb", "lab", "lch", "oklab", "oklch", "color"),
}
# What only the browser can compute: the parser does not take it, so its form alone is looked at.
_COMPUTED = {"var", "env", "calc", "min", "max", "clamp"}
_SYSTEM_COLOURS = {
    *("accentcolor", "accentcolortext", "activetext", "buttonborder", "buttonface", "buttontext"),
    *("canvas", "canvastext", "field", "fieldtext", "graytext", "highlight", "highlighttext"),
    *("linktext", "mark", "marktext", "selecteditem", "selecteditemtext", "visitedtext"),
}
_ANGLES = {"deg", "grad", "rad", "turn"}
# How the first part of a gradient may begin if it is no colour.
_BEGINNINGS = {
    "linear": {"to", "in"},
    "conic": {"from", "at", "in"},
    "radial": {
        *("circle", "ellipse", "closest-side", "closest-corner", "farthest-side"),
        *("farthest-corner", "at", "in"),
    },
}
_PLAIN = {"whitespace", "ident", "number", "percentage", "dimension", "hash"}


class Pixels(BaseConfigOption[int]):
    """A length in whole pixels, as the components take it."""

    def run_validation(self, value: object) -> int:
        """Return the number of pixels."""
        if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,6}) ?(?:px)?", value)):
            value = int(match[1])
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_PIXELS:
            raise ValidationError(
                f"must be a number of whole pixels from 0 to {MAX_PIXELS}, such as 400 or 400px"
            )
        return value


class Colour(BaseConfigOption[str]):
    """A CSS colour."""

    def run_validation(self, value: object) -> str:
        """Return the colour as written."""
        if not isinstance(value, str) or not _is_colour(value):
            raise ValidationError(
                "must be a CSS colour, such as teal, '#00bfdb', rgb(0 191 219) or "
                "var(--md-primary-fg-color)"
            )
        return value.strip()


class Background(BaseConfigOption[str]):
    """A CSS colour or gradient."""

    def run_validation(self, value: object) -> str:
        """Return the background as written."""
        if not isinstance(value, str) or not (_is_colour(value) or _is_gradient(value)):
            raise ValidationError(
                "must be a CSS colour or gradient, such as '#f5f7f8' or "
                "linear-gradient(160deg, teal, navy)"
            )
        return value.strip()


def _is_colour(text: str) -> bool:
    """Whether a text is one CSS colour."""
    from tinycss2 import color5

    if not _is_closed(text):
        return False
    if color5.parse_color(text) is not None or text.strip().lower() in _SYSTEM_COLOURS:
        return True
    function = _function(text)
    if function is None:
        return False
    name, parts = function.lower_name, _parts(function.arguments)
    if name == "var":
        return _word(parts[0]).startswith("--") and len(parts[0]) == 1
    if name == "light-dark":
        return len(parts) == 2 and all(len(part) == 1 and _has_colour(part) for part in parts)
    if name == "color-mix":
        return len(parts) == 3 and _word(parts[0]) == "in" and all(map(_has_colour, parts[1:]))
    if name not in _COLOUR_FUNCTIONS:
        return False
    if _word(parts[0]) == "from":
        return len(parts) == 1 and _has_colour(parts[0][1:2])
    return any(node.type == "function" and node.lower_name in _COMPUTED for node in chain(*parts))


def _is_gradient(text: str) -> bool:
    """Whether a text is one CSS gradient with at least two colours."""
    function = _function(text) if _is_closed(text) else None
    if function is None or not function.lower_name.endswith("-gradient"):
        return False
    kind = function.lower_name.removesuffix("-gradient").removeprefix("repeating-")
    stops = _parts(function.arguments)
    if kind not in _BEGINNINGS or not all(stops):
        return False
    if _begins(stops[0], kind):
        stops = stops[1:]
    coloured = [_has_colour(stop) for stop in stops]
    # A variable may hold several stops. One without a colour says where its neighbours meet.
    is_enough = sum(coloured) > 1 or any(len(stop) == 1 and _is_var(stop[0]) for stop in stops)
    if not (is_enough and coloured[0] and coloured[-1]):
        return False
    for stop, has_colour in zip(stops, coloured, strict=True):
        places = [node for node in stop if _is_var(node) or not _is_colour_node(node)]
        if not all(_is_place(node, kind) for node in places):
            return False
        if not has_colour and len(stop) > 1:
            return False
    return True


def _begins(part: list[Any], kind: str) -> bool:
    """Whether the first part of a gradient says where it runs."""
    node = part[0]
    if node.type == "ident":
        return node.lower_value in _BEGINNINGS[kind]
    if _has_colour(part):
        return False
    if kind == "linear" and node.type == "dimension":
        return node.lower_unit in _ANGLES
    may_begin = kind == "radial" or node.type in ("function", "number")
    return may_begin and _is_place(node, kind)


def _is_place(node: Any, kind: str) -> bool:  # noqa: ANN401 - the parser's nodes have no common type
    if node.type == "number":
        return bool(node.value == 0)
    if node.type == "dimension":
        return (node.lower_unit in _ANGLES) is (kind == "conic")
    return node.type == "percentage" or (node.type == "function" and node.lower_name in _COMPUTED)


def _is_var(node: Any) -> bool:  # noqa: ANN401
    return bool(node.type == "function" and node.lower_name == "var")


def _is_colour_node(node: Any) -> bool:  # noqa: ANN401
    from tinycss2 import serialize

    return _is_colour(serialize([node]))


def _has_colour(part: list[Any]) -> bool:
    """Whether there is one colour among some values, and no more; a variable may be one."""
    colours = [node for node in part if _is_colour_node(node)]
    certain = [node for node in colours if not _is_var(node)]
    return len(certain) == 1 or (not certain and bool(colours))


def _parts(nodes: list[Any]) -> list[list[Any]]:
    """Values between commas, without space."""
    parts: list[list[Any]] = [[]]
    for node in nodes:
        if node == ",":
            parts.append([])
        elif node.type != "whitespace":
            parts[-1].append(node)
    return parts


def _word(part: list[Any]) -> str:
    """The word that a part begins with, if it is one."""
    return str(part[0].lower_value) if part and part[0].type == "ident" else ""


def _function(text: str) -> Any:  # noqa: ANN401
    """A CSS function that holds nothing but plain values, or `None`."""
    from tinycss2 import parse_one_component_value

    node: Any = parse_one_component_value(text)
    return node if node.type == "function" and _is_plain(node.arguments) else None


def _is_closed(text: str) -> bool:
    """Whether the end of a text ends all that it began, so that nothing after it is swallowed."""
    is_plain = re.search(r"[\\\"'{}\[\];<>@!]|/\*", text) is None
    return is_plain and len(text) <= MAX_LENGTH and text.count("(") == text.count(")")


def _is_plain(nodes: list[Any]) -> bool:
    """Whether nothing in there is an error, an address, or a block of another kind."""
    for node in nodes:
        if node.type == "function":
            is_plain = _is_plain(node.arguments)
        elif node.type == "() block":
            is_plain = _is_plain(node.content)
        else:
            is_plain = node.type in _PLAIN or node in (",", "/", "+", "-", "*")
        if not is_plain:
            return False
    return any(node.type != "whitespace" for node in nodes)
