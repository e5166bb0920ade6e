"""The element's attributes that a page's options ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mkdocs_sentifyd.components import (
    ATTRIBUTES,
    COLOURS,
    COMPONENTS,
    DISPLAYS,
    OVERLAYS,
    credential,
    spoken,
)
from mkdocs_sentifyd.options.schema import PageConfig

__all__ = ["colours", "element_attributes"]

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
    spelt = credential if names == "documented" else str
    values: dict[str, str | int | bool | None] = {
        spelt(ATTRIBUTES["token_endpoint"]): settings.token_endpoint,
        spelt(ATTRIBUTES["avatar_id"]): settings.avatar_id,
        ATTRIBUTES["public_api_key"]: settings.public_api_key,
        **DISPLAYS.get(settings.display or "", {}),
        ATTRIBUTES["captions"]: settings.captions,
        ATTRIBUTES["barge_in"]: settings.barge_in,
        ATTRIBUTES["ui_language"]: _ui_language(settings.ui_language, language),
        ATTRIBUTES["brand.name"]: brand.name,
        ATTRIBUTES["brand.logo"]: _from_page(brand.logo, root),
        ATTRIBUTES["brand.terms_url"]: _from_page(brand.terms_url, root),
        ATTRIBUTES["brand.privacy_url"]: _from_page(brand.privacy_url, root),
        ATTRIBUTES["appearance.background"]: look.background,
        ATTRIBUTES["appearance.corner_radius"]: look.corner_radius,
        ATTRIBUTES["appearance.canvas_width"]: look.canvas_width,
        ATTRIBUTES["appearance.canvas_height"]: look.canvas_height,
        ATTRIBUTES["appearance.widget_height"]: look.widget_height,
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
    for option, name in COLOURS.items():
        if colour := settings.appearance[option]:
            yield name, colour
