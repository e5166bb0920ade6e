"""The browser runtime: which parts a page needs, their settings, and their tags.

Most pages do not need the runtime: static tags and a style sheet for printing are enough.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from mkdocs_sentifyd.components import supported_language
from mkdocs_sentifyd.options.behaviour import Behaviour
from mkdocs_sentifyd.options.schema import PageConfig
from mkdocs_sentifyd.tags.assets import folder
from mkdocs_sentifyd.tags.element import colours, from_page
from mkdocs_sentifyd.tags.templates import render
from mkdocs_sentifyd.tags.translations import QUESTION, WORDS

__all__ = [
    *("core", "page_settings", "parts", "script", "settings_tags", "style_sheet"),
]


def parts(behaviour: Behaviour, *, handles_typing: bool) -> list[str]:
    """Return the names of the runtime's parts that a page needs besides the core, in load order.

    Args:
        behaviour: the options for the browser.
        handles_typing: whether the theme reacts to keys that are typed into the avatar.
    """
    wanted = {
        "consent": behaviour.consent is not None,
        "idle": behaviour.load == "idle",
        "launcher": behaviour.load == "interaction",
        # It imports the two before it.
        "question": behaviour.asks,
        "keyboard": handles_typing or behaviour.shortcut is not None,
        "actions": behaviour.actions,
    }
    return [part for part, is_wanted in wanted.items() if is_wanted]


def page_settings(
    settings: PageConfig, behaviour: Behaviour, language: str, root: str
) -> dict[str, Any]:
    """Return the runtime's settings for a page other than the element and its loader.

    Args:
        settings: the page's options.
        behaviour: the options for the browser.
        language: the page's language.
        root: relative path from the page to the root of the site: empty, or ending in `/`.
    """
    found: dict[str, Any] = {}
    if behaviour.consent is not None:
        found["consent"] = behaviour.consent
    if behaviour.shortcut is not None:
        found["shortcut"] = behaviour.shortcut
    if behaviour.load == "interaction":
        code = (
            settings.ui_language if settings.ui_language != "auto" else supported_language(language)
        )
        code = code or "en"
        words, brand = WORDS[code], settings.brand.name
        found["launcher"] = {
            "lang": code,
            "label": words.named.format(name=brand) if brand else words.label,
            "loading": words.loading,
            "failed": words.failed,
            "style": "; ".join(f"{name}: {value}" for name, value in colours(settings)),
        }
        if behaviour.asks:
            own = behaviour.consent_texts
            # The author's texts may be in a language that the component does not support.
            lang = language if own and language and settings.ui_language == "auto" else code
            found["question"] = {
                "lang": lang,
                "url": from_page(settings.brand.privacy_url, root),
                "texts": [own.get(name, getattr(words, name)) for name in QUESTION],
            }
    return found


@functools.cache
def script(root: str, part: str) -> str:
    """Return the script tag of a part of the runtime.

    Args:
        root: relative path from the page to the root of the site: empty, or ending in `/`.
        part: name of the part, such as `core`.
    """
    return render("script.html", folder=root + folder(), part=part) + "\n"


def core(root: str) -> str:
    """Return the tags that every page needs with instant navigation; for `root` see `script`."""
    return script(root, "core") + style_sheet(root, "launcher")


@functools.cache
def style_sheet(root: str, name: str) -> str:
    """Return the link to a style sheet; for `root` see `script`."""
    return render("style_sheet.html", folder=root + folder(), name=name) + "\n"


def settings_tags(root: str, settings: Mapping[str, Any]) -> str:
    """Return the tags that start the runtime on a page with an avatar.

    Args:
        root: relative path from the page to the root of the site: empty, or ending in `/`.
        settings: the settings that the runtime reads.
    """
    text = json.dumps(settings, separators=(",", ":"))
    preloads = render(
        "runtime.html",
        settings=text,
        # The core always imports `opening`.
        parts=["opening", *settings["parts"]],
        folder=root + folder(),
    )
    return f"{preloads}\n{core(root)}"
