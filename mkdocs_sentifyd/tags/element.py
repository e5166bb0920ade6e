"""The element's attributes: which the options write, and which an author adds."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING

from mkdocs.config.base import BaseConfigOption, ValidationError

from mkdocs_sentifyd.components import COMPONENTS, spoken
from mkdocs_sentifyd.options.fields import OVERLAYS, is_one_line

if TYPE_CHECKING:
    from mkdocs_sentifyd.options.schema import PageConfig

__all__ = ["Attributes", "colours", "element_attributes"]

# With the option that writes each, because an attribute counts only once.
_WRITTEN = {
    "avatar-id": "avatar_id",
    "token-endpoint": "token_endpoint",
    "api-key": "public_api_key",
    "toggler": "display",
    "compact": "display",
    "overlay": "display",
    "enable-captions": "captions",
    "barge-in": "barge_in",
    "ui-language": "ui_language",
    "brand-name": "brand.name",
    "brand-logo": "brand.logo",
    "terms-href": "brand.terms_url",
    "privacy-href": "brand.privacy_url",
    "avatar-background": "appearance.background",
    "corner-radius": "appearance.corner_radius",
    "canvas-width": "appearance.canvas_width",
    "canvas-height": "appearance.canvas_height",
    "chatbot-height": "appearance.widget_height",
    "style": "appearance, or a style sheet of the site",
}
_DISPLAY = {
    "toggler": {"toggler": "true"},
    "embedded": {"toggler": "false"},
    "compact": {"toggler": "false", "compact": "true"},
    "overlay": {"toggler": "false", "overlay": "true"},
    "overlay-toggler": {"toggler": "true", "overlay": "true"},
}
# An overlay fills its host, which has no size of its own.
OVERLAY_WIDTH, OVERLAY_HEIGHT = 360, 480


def element_attributes(settings: PageConfig, language: str, root: str) -> dict[str, str]:
    """The attributes that the options ask for, in the order in which they stand.

    Args:
        settings: the page's options.
        language: the page's language, which `ui_language: auto` follows.
        root: the way from the page to the root of the site, empty or with a `/` at its end.
    """
    brand, look = settings.brand, settings.appearance
    names = settings.attribute_names or COMPONENTS[settings.component].attribute_names
    separator = "_" if names == "documented" else "-"
    values: dict[str, str | int | bool | None] = {
        f"token{separator}endpoint": settings.token_endpoint,
        f"avatar{separator}id": settings.avatar_id,
        "api-key": settings.public_api_key,
        **_DISPLAY.get(settings.display or "", {}),
        "enable-captions": settings.captions,
        "barge-in": settings.barge_in,
        "ui-language": _ui_language(settings.ui_language, language),
        "brand-name": brand.name,
        "brand-logo": _from_page(brand.logo, root),
        "terms-href": _from_page(brand.terms_url, root),
        "privacy-href": _from_page(brand.privacy_url, root),
        "avatar-background": look.background,
        "corner-radius": look.corner_radius,
        "canvas-width": look.canvas_width,
        "canvas-height": look.canvas_height,
        "chatbot-height": look.widget_height,
        "style": "; ".join(f"{name}: {value}" for name, value in _style(settings)) or None,
        **settings.attributes,
    }
    return {name: _text(value) for name, value in values.items() if value is not None}


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _ui_language(wanted: str, language: str) -> str | None:
    if wanted != "auto":
        return wanted
    code = spoken(language)
    return None if code == "en" else code


def _from_page(address: str | None, root: str) -> str | None:
    if address is None or address.startswith("/") or re.match("[a-zA-Z][a-zA-Z0-9+.-]*:", address):
        return address
    return root + address


def _style(settings: PageConfig) -> Iterator[tuple[str, str]]:
    look = settings.appearance
    if settings.display in OVERLAYS:
        width, height = look.canvas_width, look.canvas_height
        yield "display", "block"
        yield "width", f"{OVERLAY_WIDTH if width is None else width}px"
        yield "max-width", "100%"
        yield "height", f"{OVERLAY_HEIGHT if height is None else height}px"
    yield from colours(settings)


def colours(settings: PageConfig) -> Iterator[tuple[str, str]]:
    """Custom properties, with the colours that the author chose."""
    look = settings.appearance
    properties = {
        "--primary-color": look.primary_color,
        "--secondary-color": look.secondary_color,
        "--text-color-primary-bg": look.text_on_primary,
        "--text-color-secondary-bg": look.text_on_secondary,
    }
    yield from ((name, colour) for name, colour in properties.items() if colour is not None)


class Attributes(BaseConfigOption["dict[str, str]"]):
    """A mapping of names to values, for attributes that have no option of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.default = {}

    def run_validation(self, value: object) -> dict[str, str]:
        """Return names and values as they stand in HTML."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ValidationError("must be a mapping of names to values")
        found: dict[str, str] = {}
        for name, content in value.items():
            if content is not None:
                found[_attribute_name(name, found)] = _attribute_value(name, content)
        return found


def _attribute_name(name: object, others: Container[str]) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name):
        raise ValidationError("names must be of Latin letters, digits, - and _")
    name = name.lower()
    if option := _WRITTEN.get(name.replace("_", "-")):
        raise ValidationError(f"'{name}' is written by the plugin: use the option {option}")
    if name.startswith("on"):
        raise ValidationError(f"'{name}' is an inline script: listen from a script of your own")
    if name in others:
        raise ValidationError(f"'{name}' stands there twice: a browser ignores the second")
    return name


def _attribute_value(name: object, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, float)) or not is_one_line(str(value)):
        raise ValidationError(f"'{name}' must be one line of text, a number, true or false")
    return str(value)
