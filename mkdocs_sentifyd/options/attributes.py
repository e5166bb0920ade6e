"""The option `attributes`: attributes of the element that have no option of their own."""

from __future__ import annotations

import re
from collections.abc import Container

from mkdocs.config.base import BaseConfigOption, ValidationError

from mkdocs_sentifyd.components import ATTRIBUTES, DISPLAYS
from mkdocs_sentifyd.options.fields import is_one_line
from mkdocs_sentifyd.options.validation import Mistakes

__all__ = ["Attributes"]

# Maps each attribute that the plugin writes to its option: a browser ignores a second attribute.
_OPTION_OF = {
    **{attribute: option for option, attribute in ATTRIBUTES.items()},
    **{attribute: "display" for attributes in DISPLAYS.values() for attribute in attributes},
    "style": "appearance, or a style sheet of the site",
}


class Attributes(BaseConfigOption["dict[str, str]"]):
    """A mapping of names to values, for attributes that have no option of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.default = {}

    def run_validation(self, value: object) -> dict[str, str]:
        """Return names and values as strings for HTML."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ValidationError("must be a mapping of names to values")
        found: dict[str, str] = {}
        mistakes = []
        for name, content in value.items():
            if content is not None:
                try:
                    found[_attribute_name(name, found)] = _attribute_value(name, content)
                except ValidationError as error:
                    mistakes.append(("", str(error)))
        if mistakes:
            raise Mistakes(mistakes)
        return found


def _attribute_name(name: object, others: Container[str]) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name):
        raise ValidationError("names must consist of Latin letters, digits, - and _")
    name = name.lower()
    if option := _OPTION_OF.get(name.replace("_", "-")):
        raise ValidationError(f"'{name}' is written by the plugin: use the option {option}")
    if name.startswith("on"):
        raise ValidationError(f"'{name}' is an inline script: add the listener in your own script")
    if name in others:
        raise ValidationError(f"'{name}' is given twice: a browser ignores the second")
    return name


def _attribute_value(name: object, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, float)) or not is_one_line(str(value)):
        raise ValidationError(f"'{name}' must be one line of text, a number, true or false")
    return str(value)
