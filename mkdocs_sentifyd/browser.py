"""The browser runtime: which of its parts a page needs, and the tags that bring them.

Most pages need none: the static tags do all the work, with a style sheet for printing.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from mkdocs_sentifyd.assets import folder
from mkdocs_sentifyd.attributes import colours
from mkdocs_sentifyd.components import STORED, Component, credential, spoken
from mkdocs_sentifyd.rendering import render
from mkdocs_sentifyd.words import WORDS

if TYPE_CHECKING:
    from mkdocs_sentifyd.config import PageConfig

__all__ = ["Behaviour", "Runtime", "Traits", "core", "page_settings", "style_sheet", "traits"]

# As Material and Zensical write it, and as a minifier leaves it.
_CONFIG = re.compile(r"<script id=\"?__config\"?[^>]*>([^<]*)")
_SHORTCUTS = re.compile(r"<script[^>]*>[^<]*\bshortcuts\s*=\s*\{")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the site as a whole wants in the browser.

    Attributes:
        load: when the loader is fetched: `eager`, `idle`, `interaction`.
        consent: name of the consent that has to be given first.
        actions: whether the avatar may search, read and open pages.
        shortcut: keys that open and close the avatar, as the runtime compares them.
    """

    load: str = "eager"
    consent: str | None = None
    actions: bool = False
    shortcut: str | None = None

    @property
    def needs_runtime(self) -> bool:
        """Whether the static tags cannot do it."""
        return self != Behaviour()


class Traits(NamedTuple):
    """What a page tells of its theme.

    Attributes:
        is_instant: pages are exchanged without being loaded (`navigation.instant`).
        has_features: the theme is Material or Zensical.
        has_shortcuts: the theme's script takes single keys wherever they are typed.
    """

    is_instant: bool
    has_features: bool
    has_shortcuts: bool


def traits(html: str) -> Traits:
    """Look for what themes leave in their pages.

    Args:
        html: a whole page, of which only the ASCII counts.
    """
    config = _theme_script(html, "__config", _CONFIG)
    return Traits(
        is_instant=config is not None and '"navigation.instant"' in config[1],
        has_features=config is not None,
        has_shortcuts=_theme_script(html, "shortcuts", _SHORTCUTS) is not None,
    )


def _theme_script(html: str, name: str, pattern: re.Pattern[str]) -> re.Match[str] | None:
    """The last script that matches, and has a name in it."""
    # Looking for a text is much faster than for a pattern, and themes have theirs near the end.
    start = len(html)
    while (place := html.rfind(name, 0, start)) >= 0:
        start = html.rfind("<script", 0, place)
        if start < 0:
            return None
        if found := pattern.match(html, start):
            return found
    return None


def _serialised(url: str) -> str:
    """A URL as browsers write it (URL Standard, section 4.5); what is none stays as it is."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    if not parts.hostname:
        return url
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port not in (None, {"http": 80, "https": 443}.get(parts.scheme)):
        host = f"{host}:{port}"
    return urlunsplit((parts.scheme, host, parts.path or "/", parts.query, ""))


def _page_parts(behaviour: Behaviour, page: Traits) -> list[str]:
    """Parts of the runtime that a page loads beside its core, in the order in which they count.

    Args:
        behaviour: what the site wants.
        page: what the theme does.
    """
    wanted = {
        "consent": behaviour.consent is not None,
        "idle": behaviour.load == "idle",
        "launcher": behaviour.load == "interaction",
        "keys": page.has_features or page.has_shortcuts or behaviour.shortcut is not None,
        "actions": behaviour.actions,
    }
    return [part for part, is_wanted in wanted.items() if is_wanted]


def page_settings(settings: PageConfig, behaviour: Behaviour, language: str) -> dict[str, Any]:
    """What the runtime has to know of a page beside the element's attributes and its loader.

    Args:
        settings: the page's options.
        behaviour: what the site wants.
        language: the page's language.
    """
    found: dict[str, Any] = {}
    if behaviour.consent is not None:
        found["consent"] = behaviour.consent
    if behaviour.shortcut is not None:
        found["shortcut"] = behaviour.shortcut
    if behaviour.load == "interaction":
        code = settings.ui_language if settings.ui_language != "auto" else spoken(language)
        code = code or "en"
        words, brand = WORDS[code], settings.brand.name
        found["launcher"] = {
            "lang": code,
            "label": words.named.format(name=brand) if brand else words.label,
            "loading": words.loading,
            "failed": words.failed,
            "style": "; ".join(f"{name}: {value}" for name, value in colours(settings)),
        }
    return found


@functools.cache
def script(root: str, part: str) -> str:
    """The tag that brings a part of the runtime.

    Args:
        root: the way from the page to the root of the site, empty or with a `/` at its end.
        part: its name, such as `core`.
    """
    return render("script.html", folder=root + folder(), part=part) + "\n"


def core(root: str) -> str:
    """The tags that every page of an instant visit has; the argument is that of `script`."""
    return script(root, "core") + style_sheet(root, "runtime")


@functools.cache
def style_sheet(root: str, name: str) -> str:
    """The tag that links a style sheet; the arguments are those of `script`."""
    return render("style_sheet.html", folder=root + folder(), name=name) + "\n"


class Runtime:
    """The tags of the browser runtime.

    Args:
        settings: what it has to know of a page beside the element.
        behaviour: what the site wants.
        component: what the element is.
        attributes: those of the element.
        loader: properties of the script that defines it.
        root: the way from the page to the root of the site.

    Attributes:
        attributes: of the element, without those that an author wrote.
        waits: whether the loader may not be fetched at once.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        behaviour: Behaviour,
        component: Component,
        attributes: Mapping[str, str],
        loader: Mapping[str, str],
        root: str,
    ) -> None:
        self._settings = settings
        self._behaviour = behaviour
        self._component = component
        self.attributes = attributes
        self._loader = loader
        self._root = root
        self.waits = behaviour.load != "eager" or behaviour.consent is not None
        self._tags: dict[tuple[Traits, bool], str] = {}

    def tags(self, page: Traits, own: Mapping[str, str] | None, *, has_loader: bool) -> str:
        """What stands in the head of a page.

        Args:
            page: what its theme does.
            own: attributes of the element that its author placed, if there is one.
            has_loader: whether its author placed the loader.
        """
        if own is None:
            key = (page, has_loader)
            if key not in self._tags:
                settings = self.settings(
                    page, self.attributes, has_loader=has_loader, has_place=False
                )
                self._tags[key] = self._render(settings)
            return self._tags[key]
        spelt = set(map(credential, own))
        missing = {k: v for k, v in self.attributes.items() if credential(k) not in spelt}
        attributes = {**own, **missing}
        return self._render(self.settings(page, attributes, has_loader=has_loader, has_place=True))

    def settings(
        self, page: Traits, attributes: Mapping[str, str], *, has_loader: bool, has_place: bool
    ) -> dict[str, Any]:
        """What the runtime reads on a page."""
        spelt = {credential(name): value for name, value in attributes.items()}
        avatar, endpoint = spelt["avatar_id"], spelt.get("token_endpoint")
        component = self._component
        fixed = [attributes.get(name) for name in component.fixed]
        return {
            **self._settings,
            "avatar": avatar,
            # As browsers write it in their records of requests.
            "endpoint": endpoint and _serialised(endpoint),
            "element": component.element,
            # Another value of any of these needs a new element.
            "identity": " ".join(map(str, [component.element, avatar, endpoint, *fixed])),
            "opening": asdict(component.opening),
            "stored": list(STORED),
            "loader": None if has_loader else self._loader,
            "place": has_place,
            "attributes": attributes,
            "parts": _page_parts(self._behaviour, page),
        }

    def _render(self, settings: Mapping[str, Any]) -> str:
        text = json.dumps(settings, separators=(",", ":"))
        preloads = render(
            "runtime.html",
            settings=text,
            # The core imports the first one itself.
            parts=["opening", *settings["parts"]],
            folder=self._root + folder(),
        )
        return f"{preloads}\n{core(self._root)}"

    def keys(self) -> str:
        """The tag of the part that works without the core."""
        return script(self._root, "keys")
