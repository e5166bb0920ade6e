"""The browser runtime: which of its parts a page needs, what they have to know, and their tags.

Most pages need none of it: static tags are enough, with a style sheet for printing.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from mkdocs_sentifyd.components import spoken
from mkdocs_sentifyd.options.behaviour import Behaviour
from mkdocs_sentifyd.options.schema import PageConfig
from mkdocs_sentifyd.tags.assets import folder
from mkdocs_sentifyd.tags.element import colours
from mkdocs_sentifyd.tags.templates import render
from mkdocs_sentifyd.tags.translations import WORDS

__all__ = [
    *("core", "page_settings", "parts", "script", "serialised", "settings_tags", "style_sheet"),
]


def serialised(url: str) -> str:
    """A URL as browsers write it (URL Standard, section 4.5); any other text stays as it is."""
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


def parts(behaviour: Behaviour, *, takes_keys: bool) -> list[str]:
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


def settings_tags(root: str, settings: Mapping[str, Any]) -> str:
    """The tags that start the runtime on a page with an avatar.

    Args:
        root: the way from the page to the root of the site, empty or with a `/` at its end.
        settings: what the runtime reads on the page.
    """
    text = json.dumps(settings, separators=(",", ":"))
    preloads = render(
        "runtime.html",
        settings=text,
        # The core imports the first one itself.
        parts=["opening", *settings["parts"]],
        folder=root + folder(),
    )
    return f"{preloads}\n{core(root)}"
