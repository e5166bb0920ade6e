"""Facts about Sentifyd's web components: names, loaders, attributes, and how to open them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = [
    *("ADDRESSES", "ATTRIBUTES", "COLOURS", "COMPONENTS", "DISPLAYS", "LANGUAGES", "OVERLAYS"),
    *("STORAGE_PREFIXES", "Component", "Opening", "canonical_name", "supported_language"),
]

_CANONICAL_NAMES = {"token-endpoint": "token_endpoint", "avatar-id": "avatar_id"}
LANGUAGES = ("en", "fr", "de", "es", "ar", "zh")
# Prefixes of the session storage keys that a component writes; the avatar's ID follows.
STORAGE_PREFIXES = ("showChatbot_", "chatbotState_", "authData_", "conversationData_")


@dataclass(frozen=True, slots=True)
class Opening:
    """How a script opens and closes an element, and reads whether it is open.

    Attributes:
        storage: prefix of the session storage key with the element's state; the avatar's ID
            follows. The element reads it once, when it is connected.
        field: the member of the stored JSON object that holds the state; `None` if the stored
            JSON is the state itself, `true` or `false`.
        toggle: name of the element's method that opens or closes it. Not every version has the
            method, so the runtime checks for it.
    """

    storage: str
    field: str | None
    toggle: str


@dataclass(frozen=True, slots=True)
class Component:
    """A custom element.

    Attributes:
        element: name of the element.
        loader: URL of the script that defines it.
        loader_type: how the browser runs that script.
        attribute_names: spelling of the attributes with the credentials.
        opening: how to open and close it.
        read_on_connect: attributes that it reads only when it is connected; to change one, the
            runtime creates a new element.
        other_loaders: other known URLs of the script, which an author may have pasted.
    """

    element: str
    loader: str
    loader_type: Literal["classic", "module"]
    attribute_names: Literal["documented", "kebab"]
    opening: Opening
    read_on_connect: tuple[str, ...] = ()
    other_loaders: tuple[str, ...] = ()


COMPONENTS = {
    "bot": Component(
        element="sentifyd-bot",
        loader="https://frontend.sentifyd.io/sentifyd-bot/main.js",
        loader_type="classic",
        attribute_names="documented",
        # Sentifyd documents the storage key. The method was found in the published package of the
        # other component, which uses this component's name.
        opening=Opening(storage="showChatbot_", field=None, toggle="_handleToggleChatbot"),
        # It is not documented whether the element follows changes, so the runtime replaces it.
        read_on_connect=("toggler",),
        other_loaders=("https://cdn.sentifyd.io/element/bot.js",),
    ),
    "realtime": Component(
        element="sentifyd-realtime",
        loader="https://frontend.sentifyd.io/sentifyd-realtime/v1/main.js",
        loader_type="module",
        attribute_names="kebab",
        # Observed in version 1.4.0 of the vendor's package; the hosted loader may differ.
        opening=Opening(storage="chatbotState_", field="isVisible", toggle="_handleToggleChatbot"),
    ),
}

# Maps each option to the attribute that it sets.
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
# Attributes whose value is a URL.
ADDRESSES = tuple(ATTRIBUTES[f"brand.{name}"] for name in ("logo", "terms_url", "privacy_url"))
# Maps each value of the option `display` to the attributes that it sets.
DISPLAYS = {
    "toggler": {"toggler": "true"},
    "embedded": {"toggler": "false"},
    "compact": {"toggler": "false", "compact": "true"},
    "overlay": {"toggler": "false", "overlay": "true"},
    "overlay-toggler": {"toggler": "true", "overlay": "true"},
}
# Values of `display` that only `realtime` supports.
OVERLAYS = ("overlay", "overlay-toggler")
# Maps options below `appearance` to the custom properties that they set on the element.
COLOURS = {
    "primary_color": "--primary-color",
    "secondary_color": "--secondary-color",
    "text_on_primary": "--text-color-primary-bg",
    "text_on_secondary": "--text-color-secondary-bg",
}


def canonical_name(name: str) -> str:
    """Return the documented spelling of an attribute with a credential; other names unchanged."""
    return _CANONICAL_NAMES.get(name, name)


def supported_language(language: str) -> str | None:
    """Return the component's code for a language, or `None` if it does not support the language.

    Args:
        language: a code with or without script and region, such as `de`, `pt-BR`, `zh_Hant_TW`.
    """
    code = re.split(r"[^A-Za-z]", language.strip(), maxsplit=1)[0].lower()
    return code if code in LANGUAGES else None
