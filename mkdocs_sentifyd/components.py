"""Sentifyd's web components: what each is called, and how it is loaded and addressed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = [
    *("ADDRESSES", "ATTRIBUTES", "COLOURS", "COMPONENTS", "DISPLAYS", "LANGUAGES", "OVERLAYS"),
    *("Component", "credential", "spoken"),
]

_CREDENTIALS = {"token-endpoint": "token_endpoint", "avatar-id": "avatar_id"}
LANGUAGES = ("en", "fr", "de", "es", "ar", "zh")


@dataclass(frozen=True, slots=True)
class Component:
    """A custom element.

    Attributes:
        element: its name.
        loader: address of the script that defines it.
        loader_type: how that script is run.
        attribute_names: how the attributes that hold its credentials are spelt.
        other_loaders: further addresses of the script, which an author may have pasted.
    """

    element: str
    loader: str
    loader_type: Literal["classic", "module"]
    attribute_names: Literal["documented", "kebab"]
    other_loaders: tuple[str, ...] = ()


COMPONENTS = {
    "bot": Component(
        element="sentifyd-bot",
        loader="https://frontend.sentifyd.io/sentifyd-bot/main.js",
        loader_type="classic",
        attribute_names="documented",
        other_loaders=("https://cdn.sentifyd.io/element/bot.js",),
    ),
    "realtime": Component(
        element="sentifyd-realtime",
        loader="https://frontend.sentifyd.io/sentifyd-realtime/v1/main.js",
        loader_type="module",
        attribute_names="kebab",
    ),
}

# The option that writes each attribute, and the attribute.
ATTRIBUTES = {
    "avatar_id": "avatar-id",
    "token_endpoint": "token-endpoint",
    "public_api_key": "api-key",
    "captions": "enable-captions",
    "barge_in": "barge-in",
    "ui_language": "ui-language",
    "brand.name": "brand-name",
    "brand.logo": "brand-logo",
    "brand.terms_url": "terms-href",
    "brand.privacy_url": "privacy-href",
    "appearance.background": "avatar-background",
    "appearance.corner_radius": "corner-radius",
    "appearance.canvas_width": "canvas-width",
    "appearance.canvas_height": "canvas-height",
    "appearance.widget_height": "chatbot-height",
}
# Attributes whose value is an address that a visitor may follow.
ADDRESSES = tuple(ATTRIBUTES[f"brand.{name}"] for name in ("logo", "terms_url", "privacy_url"))
# Values of the option `display`, with the attributes that each stands for.
DISPLAYS = {
    "toggler": {"toggler": "true"},
    "embedded": {"toggler": "false"},
    "compact": {"toggler": "false", "compact": "true"},
    "overlay": {"toggler": "false", "overlay": "true"},
    "overlay-toggler": {"toggler": "true", "overlay": "true"},
}
# Those that `realtime` alone has.
OVERLAYS = ("overlay", "overlay-toggler")
# Options below `appearance`, and the custom property that each sets on the element.
COLOURS = {
    "primary_color": "--primary-color",
    "secondary_color": "--secondary-color",
    "text_on_primary": "--text-color-primary-bg",
    "text_on_secondary": "--text-color-secondary-bg",
}


def credential(name: str) -> str:
    """The documented spelling of an attribute that holds a credential; of others the name."""
    return _CREDENTIALS.get(name, name)


def spoken(language: str) -> str | None:
    """The component's code for a language, or `None` if it does not speak it.

    Args:
        language: a code with or without script and region, such as `de`, `pt-BR`, `zh_Hant_TW`.
    """
    code = re.split(r"[^A-Za-z]", language.strip(), maxsplit=1)[0].lower()
    return code if code in LANGUAGES else None
