"""Facts about Sentifyd's web components: names, loaders, attributes, and how to open them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    *("ADDRESSES", "ATTRIBUTES", "COLOURS", "COMPONENTS", "DISPLAYS", "LANGUAGES", "OVERLAYS"),
    *("LOGINS", "STORAGE_PREFIXES", "TOKENS_PREFIX", "Component", "Ending", "Host", "Opening"),
    "canonical_name",
    "supported_language",
]

_CANONICAL_NAMES = {"token-endpoint": "token_endpoint", "avatar-id": "avatar_id"}
# Hosts and paths of Sentifyd's login, which exchanges an API key: documented, and in the WordPress
# plugin.
LOGINS = {
    "backend.sentifyd.io": "/api/login",
    "serve.sentifyd.io": "/api/v1/chatbot/login",
}
LANGUAGES = ("en", "fr", "de", "es", "ar", "zh")
# Prefixes of the session storage keys that a component writes; the avatar's ID follows.
STORAGE_PREFIXES = ("showChatbot_", "chatbotState_", "authData_", "conversationData_")
# The one of them under which it keeps its tokens.
TOKENS_PREFIX = "authData_"


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
class Host:
    """A host that a component contacts from the visitor's browser, besides its loader's.

    Attributes:
        name: the host.
        operator: who runs it, and so gets the visitor's address.
        purpose: what the component uses it for.
        directives: what must allow it in a policy (W3C, Content Security Policy Level 3).
        schemes: schemes of its URLs.
        is_observed: whether requests to it were seen; otherwise the vendor only names it, and the
            directives are assumed.
    """

    name: str
    operator: str
    purpose: str
    directives: tuple[str, ...]
    schemes: tuple[str, ...] = ("https",)
    is_observed: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        """The host with each of its schemes, as in a policy."""
        return tuple(f"{scheme}://{self.name}" for scheme in self.schemes)


@dataclass(frozen=True, slots=True)
class Ending:
    """When an element can be removed, if a removed one goes on requesting tokens, and connects.

    Until then the runtime hides it. Times are in seconds.

    Attributes:
        connecting: from the tokens until the element has connected; removal then ends it.
        pauses: numbers of refused requests in a row, after which an element that is removed makes
            no more.
        silence: without a request for this time after a refusal, an element makes no more.
        longest: without a response for this time, it is removed.
    """

    connecting: int
    pauses: tuple[int, ...]
    silence: int
    longest: int


@dataclass(frozen=True, slots=True)
class Component:
    """A custom element.

    Attributes:
        element: name of the element.
        loader: URL of the script that defines it.
        loader_type: how the browser runs that script.
        attribute_names: spelling of the attributes with the credentials.
        opening: how to open and close it.
        ending: how to end it; `None` if nothing is known, and it is removed at once.
        display: its attributes for the display with their defaults, if it does not follow an
            attribute that is removed; every page then sets all of them.
        read_on_connect: attributes that it reads only when it is connected; to change one, the
            runtime creates a new element.
        other_loaders: other known URLs of the script, which an author may have pasted.
        hosts: what it contacts besides its loader, the token endpoint and the logo.
    """

    element: str
    loader: str
    loader_type: Literal["classic", "module"]
    attribute_names: Literal["documented", "kebab"]
    opening: Opening
    ending: Ending | None = None
    display: Mapping[str, str] = field(default_factory=dict)
    read_on_connect: tuple[str, ...] = ()
    other_loaders: tuple[str, ...] = ()
    hosts: tuple[Host, ...] = ()


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
        read_on_connect=("toggler", "compact"),
        other_loaders=("https://cdn.sentifyd.io/element/bot.js",),
        # The first is in the vendor's documentation, the second in its WordPress plugin. Both are
        # named as hosts of the login; none is named for the WebSocket.
        hosts=(
            Host(
                name="backend.sentifyd.io",
                operator="Sentifyd",
                purpose="the conversation (named as the host of the login)",
                directives=("connect-src",),
                schemes=("https", "wss"),
            ),
            Host(
                name="serve.sentifyd.io",
                operator="Sentifyd",
                purpose="the conversation (named as the host of the login)",
                directives=("connect-src",),
                schemes=("https", "wss"),
            ),
        ),
    ),
    "realtime": Component(
        element="sentifyd-realtime",
        loader="https://frontend.sentifyd.io/sentifyd-realtime/v1/main.js",
        loader_type="module",
        attribute_names="kebab",
        # Observed in version 1.4.0 of the vendor's package; the hosted loader may differ.
        opening=Opening(storage="chatbotState_", field="isVisible", toggle="_handleToggleChatbot"),
        ending=Ending(connecting=5, pauses=(7, 10, 13, 16), silence=10, longest=60),
        display={"toggler": "true", "compact": "false", "overlay": "false"},
        hosts=(
            Host(
                name="serve.sentifyd.io",
                operator="Sentifyd",
                purpose="the conversation",
                directives=("connect-src",),
                schemes=("https", "wss"),
                is_observed=True,
            ),
            Host(
                name="fonts.googleapis.com",
                operator="Google",
                purpose="style sheets of fonts and icons",
                directives=("style-src",),
                is_observed=True,
            ),
            Host(
                name="fonts.gstatic.com",
                operator="Google",
                purpose="fonts and icons",
                directives=("font-src",),
            ),
            Host(
                name="sentifydassetssc.blob.core.windows.net",
                operator="Sentifyd, on Microsoft Azure",
                purpose="avatars and animations",
                directives=("img-src", "connect-src"),
            ),
        ),
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
