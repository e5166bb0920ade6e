"""CSS values in options: checked here, because a browser drops a wrong one without a word.

Syntax: CSS Color Module Level 5, CSS Images Module Level 4 (gradients).
"""

from __future__ import annotations

import re
from typing import Any

from mkdocs.config.base import BaseConfigOption, ValidationError

__all__ = ["Background", "Colour", "Pixels"]

MAX_PIXELS = 10_000
# The parser reads colours as they are; these are computed, so only their form is looked at.
_COMPUTED_COLOUR = {"var", "color-mix", "contrast-color", "light-dark"}
_RELATIVE_COLOUR = {"rgb", "rgba", "hsl", "hsla", "hwb", "lab", "lch", "oklab", "oklch", "color"}
_GRADIENTS = {
    f"{prefix}{kind}-gradient"
    for prefix in ("", "repeating-")
    for kind in ("linear", "radial", "conic")
}
_PLAIN = {"whitespace", "ident", "number", "percentage", "dimension", "hash"}


class Pixels(BaseConfigOption[int]):
    """A length: the components take whole pixels."""

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
    if color5.parse_color(text) is not None:
        return True
    function = _function(text)
    if function is None:
        return False
    first = next(part for part in function.arguments if part.type != "whitespace")
    is_relative = first.type == "ident" and first.lower_value == "from"
    return function.lower_name in (_RELATIVE_COLOUR if is_relative else _COMPUTED_COLOUR)


def _is_gradient(text: str) -> bool:
    """Whether a text is one CSS gradient with at least two colours."""
    from tinycss2 import serialize

    function = _function(text)
    if not _is_closed(text) or function is None or function.lower_name not in _GRADIENTS:
        return False
    parts: list[list[Any]] = [[]]
    for part in function.arguments:
        if part == ",":
            parts.append([])
        elif part.type != "whitespace":
            parts[-1].append(part)
    coloured = [any(_is_colour(serialize([item])) for item in part) for part in parts]
    # The first part may say where the gradient runs, and one in between where two colours meet.
    hints = [part for part, has_colour in zip(parts, coloured, strict=True) if not has_colour]
    hints = [part for part in hints if part is not parts[0]]
    is_complete = sum(coloured) > 1 and coloured[-1] and all(parts)
    return is_complete and all(
        len(hint) == 1 and hint[0].type in ("percentage", "dimension") for hint in hints
    )


def _function(text: str) -> Any:  # noqa: ANN401 - the parser's nodes have no common attributes
    """A CSS function that holds nothing but plain values, or `None`."""
    from tinycss2 import parse_one_component_value

    node: Any = parse_one_component_value(text)
    return node if node.type == "function" and _is_plain(node.arguments) else None


def _is_closed(text: str) -> bool:
    """Whether the end of a text ends all that it began, so that nothing after it is swallowed."""
    is_plain = re.search(r"[\\\"'{}\[\];<>@!]|/\*", text) is None
    return is_plain and text.count("(") == text.count(")")


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
