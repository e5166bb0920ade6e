"""Sentifyd's web components: what each is called, and how it is loaded and addressed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = [
    *("ADDRESSES", "ATTRIBUTES", "COLOURS", "COMPONENTS", "DISPLAYS", "LANGUAGES", "OVERLAYS"),
    *("STORED", "Component", "Opening", "credential", "spoken"),
]

_CREDENTIALS = {"token-endpoint": "token_endpoint", "avatar-id": "avatar_id"}
LANGUAGES = ("en", "fr", "de", "es", "ar", "zh")
# Keys of the session storage that a component writes begin so; the avatar's ID follows.
STORED = ("showChatbot_", "chatbotState_", "authData_", "conversationData_")


@dataclass(frozen=True, slots=True)
class Opening:
    """How a script opens and closes an element, and learns whether it is open.

    Attributes:
        storage: start of the key in the session storage under which the element keeps its state;
            the avatar's ID follows. An element reads it once, when it is connected.
        field: name of the state in the JSON object stored there; `None` when the stored JSON is
            the state itself, `true` or `false`.
        toggle: name of the method with which a living element changes between open and closed.
            Not every version has it, so the runtime looks for it.
    """

    storage: str
    field: str | None
    toggle: str


@dataclass(frozen=True, slots=True)
class Component:
    """A custom element.

    Attributes:
        element: its name.
        loader: address of the script that defines it.
        loader_type: how that script is run.
        attribute_names: how the attributes that hold its credentials are spelt.
        opening: how it is opened and closed.
        fixed: attributes that it reads only when it is connected; another value of one needs a
            new element.
        other_loaders: further addresses of the script, which an author may have pasted.
    """

    element: str
    loader: str
    loader_type: Literal["classic", "module"]
    attribute_names: Literal["documented", "kebab"]
    opening: Opening
    fixed: tuple[str, ...] = ()
    other_loaders: tuple[str, ...] = ()


COMPONENTS = {
    "bot": Component(
        element="sentifyd-bot",
        loader="https://frontend.sentifyd.io/sentifyd-bot/main.js",
        loader_type="classic",
        attribute_names="documented",
        # The key is documented. The method is known of the other component alone, whose published
        # wrapper calls itself by this one's name.
        opening=Opening(storage="showChatbot_", field=None, toggle="_handleToggleChatbot"),
        # Not documented: a new element is right whether it follows the attribute or not.
        fixed=("toggler",),
        other_loaders=("https://cdn.sentifyd.io/element/bot.js",),
    ),
    "realtime": Component(
        element="sentifyd-realtime",
        loader="https://frontend.sentifyd.io/sentifyd-realtime/v1/main.js",
        loader_type="module",
        attribute_names="kebab",
        # Seen on version 1.4.0 of the vendor's package; the hosted loader may differ.
        opening=Opening(storage="chatbotState_", field="isVisible", toggle="_handleToggleChatbot"),
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
