"""Turn a page's options into the attributes of its element."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mkdocs_sentifyd.components import (
    ATTRIBUTES,
    COLOURS,
    COMPONENTS,
    DISPLAYS,
    canonical_name,
    supported_language,
)
from mkdocs_sentifyd.options.schema import PageConfig

__all__ = ["colours", "element_attributes", "from_page"]

# In pixels. An overlay that does not float fills its host element, which has no size by default.
OVERLAY_WIDTH, OVERLAY_HEIGHT = 360, 480


def element_attributes(settings: PageConfig, language: str, root: str) -> dict[str, str]:
    """Return the attributes for a page's options, in the order of the HTML.

    Args:
        settings: the page's options.
        language: the page's language, which `ui_language: auto` follows.
        root: relative path from the page to the root of the site: empty, or ending in `/`.
    """
    brand, look = settings.brand, settings.appearance
    names = settings.attribute_names or COMPONENTS[settings.component].attribute_names
    spelling = canonical_name if names == "documented" else str
    values: dict[str, str | int | bool | None] = {
        spelling(ATTRIBUTES["token_endpoint"]): settings.token_endpoint,
        spelling(ATTRIBUTES["avatar_id"]): settings.avatar_id,
        ATTRIBUTES["public_api_key"]: settings.public_api_key,
        **COMPONENTS[settings.component].display,
        **DISPLAYS.get(settings.display or "", {}),
        ATTRIBUTES["captions"]: settings.captions,
        ATTRIBUTES["barge_in"]: settings.barge_in,
        ATTRIBUTES["ui_language"]: _ui_language(settings.ui_language, language),
        ATTRIBUTES["brand.name"]: brand.name,
        ATTRIBUTES["brand.logo"]: from_page(brand.logo, root),
        ATTRIBUTES["brand.terms_url"]: from_page(brand.terms_url, root),
        ATTRIBUTES["brand.privacy_url"]: from_page(brand.privacy_url, root),
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
    code = supported_language(language)
    return None if code == "en" else code


def from_page(address: str | None, root: str) -> str | None:
    """Return an address of the options for a link in a page; for `root` see above."""
    if address is None or address.startswith("/") or re.match("[a-zA-Z][a-zA-Z0-9+.-]*:", address):
        return address
    return root + address


def _style(settings: PageConfig) -> Iterator[tuple[str, str]]:
    look = settings.appearance
    if settings.display == "overlay":
        width, height = look.canvas_width, look.canvas_height
        yield "display", "block"
        yield "width", f"{OVERLAY_WIDTH if width is None else width}px"
        yield "max-width", "100%"
        yield "height", f"{OVERLAY_HEIGHT if height is None else height}px"
    yield from colours(settings)


def colours(settings: PageConfig) -> Iterator[tuple[str, str]]:
    """Yield the custom properties for the colours that the author set, with their values."""
    for option, name in COLOURS.items():
        if colour := settings.appearance[option]:
            yield name, colour
