"""The browser runtime: which of its parts a page needs, and the tags that bring them.

Most pages need none: the static tags do all the work, with a style sheet for printing.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from mkdocs_sentifyd.components import credential, spoken
from mkdocs_sentifyd.options.behaviour import Behaviour
from mkdocs_sentifyd.options.schema import PageConfig
from mkdocs_sentifyd.tags.assets import folder
from mkdocs_sentifyd.tags.element import colours
from mkdocs_sentifyd.tags.templates import render
from mkdocs_sentifyd.tags.translations import WORDS

__all__ = ["Runtime", "core", "page_settings", "style_sheet"]


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


def _parts(behaviour: Behaviour, *, takes_keys: bool) -> list[str]:
    """Names of the runtime's parts that a page loads beside the core, in the order of loading.

    Args:
        behaviour: what the site wants.
        takes_keys: whether the theme acts on keys that are typed into the avatar.
    """
    wanted = {
        "consent": behaviour.consent is not None,
        "idle": behaviour.load == "idle",
        "launcher": behaviour.load == "interaction",
        "keyboard": takes_keys or behaviour.shortcut is not None,
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
    return script(root, "core") + style_sheet(root, "launcher")


@functools.cache
def style_sheet(root: str, name: str) -> str:
    """The tag that links a style sheet; the arguments are those of `script`."""
    return render("style_sheet.html", folder=root + folder(), name=name) + "\n"


class Runtime:
    """The tags of the browser runtime.

    Args:
        settings: what it has to know of a page beside the element.
        behaviour: what the site wants.
        element: name of the element.
        attributes: those of the element.
        loader: properties of the script that defines it.
        root: the way from the page to the root of the site.

    Attributes:
        attributes: of the element, without those that an author wrote.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        behaviour: Behaviour,
        element: str,
        attributes: Mapping[str, str],
        loader: Mapping[str, str],
        root: str,
    ) -> None:
        self._settings = settings
        self._behaviour = behaviour
        self._element = element
        self.attributes = attributes
        self._loader = loader
        self._root = root
        self._tags: dict[tuple[bool, bool], str] = {}

    def tags(self, own: Mapping[str, str] | None, *, takes_keys: bool, has_loader: bool) -> str:
        """What stands in the head of a page.

        Args:
            takes_keys: whether its theme acts on keys that are typed into the avatar.
            own: attributes of the element that its author placed, if there is one.
            has_loader: whether its author placed the loader.
        """
        if own is None:
            key = (takes_keys, has_loader)
            if key not in self._tags:
                settings = self.settings(
                    self.attributes, takes_keys=takes_keys, has_loader=has_loader, has_place=False
                )
                self._tags[key] = self._render(settings)
            return self._tags[key]
        spelt = set(map(credential, own))
        missing = {k: v for k, v in self.attributes.items() if credential(k) not in spelt}
        attributes = {**own, **missing}
        settings = self.settings(
            attributes, takes_keys=takes_keys, has_loader=has_loader, has_place=True
        )
        return self._render(settings)

    def settings(
        self,
        attributes: Mapping[str, str],
        *,
        takes_keys: bool,
        has_loader: bool,
        has_place: bool,
    ) -> dict[str, Any]:
        """What the runtime reads on a page."""
        spelt = {credential(name): value for name, value in attributes.items()}
        avatar, endpoint = spelt["avatar_id"], spelt.get("token_endpoint")
        return {
            **self._settings,
            "avatar": avatar,
            # As browsers write it in their records of requests.
            "endpoint": endpoint and _serialised(endpoint),
            "element": self._element,
            # With another of any of these it is another avatar, and not this one elsewhere.
            "identity": f"{self._element} {avatar} {endpoint}",
            "loader": None if has_loader else self._loader,
            "place": has_place,
            "attributes": attributes,
            "parts": _parts(self._behaviour, takes_keys=takes_keys),
        }

    def _render(self, settings: Mapping[str, Any]) -> str:
        text = json.dumps(settings, separators=(",", ":"))
        preloads = render(
            "runtime.html",
            settings=text,
            parts=settings["parts"],
            folder=self._root + folder(),
        )
        return f"{preloads}\n{core(self._root)}"

    def keyboard(self) -> str:
        """The tag of the one part that works without the core."""
        return script(self._root, "keyboard")
