"""From options to tags: Jinja2 templates with autoescaping, rendered once a build."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from mkdocs_sentifyd.config import SentifydConfig
from mkdocs_sentifyd.options import DOCUMENTED_LOADER

__all__ = ["Embed", "address", "build_embed", "find_mention"]

ELEMENT = "sentifyd-bot"
# Both stand in the vendor's documentation: an author may have pasted either.
_DOCUMENTED_LOADERS = (DOCUMENTED_LOADER, "https://cdn.sentifyd.io/element/bot.js")


@dataclass(frozen=True, slots=True)
class Embed:
    """What a page gets.

    Attributes:
        loader: the script tag.
        loaders: addresses of scripts that define the element; a page that has one needs no other.
        element: name of the custom element.
        mention: found in every page that has such an element or script, and in few others.
        attributes: names, and each attribute written out with a space before it.
    """

    loader: str
    loaders: frozenset[tuple[str, str]]
    element: str
    mention: re.Pattern[str]
    attributes: tuple[tuple[str, str], ...]

    def tag(self) -> str:
        """The whole element."""
        return f"<{self.element}{self.missing(())}></{self.element}>\n"

    def missing(self, present: Iterable[str]) -> str:
        """The attributes that an author's element lacks, in either of their spellings.

        Args:
            present: names of the attributes that it has, in lower case.
        """
        spelt = {name.replace("-", "_") for name in present}
        return "".join(
            text for name, text in self.attributes if name.replace("-", "_") not in spelt
        )


def build_embed(config: SentifydConfig) -> Embed:
    """Render the tags that the options ask for."""
    environment = Environment(
        loader=PackageLoader("mkdocs_sentifyd"), autoescape=True, undefined=StrictUndefined
    )
    attribute = environment.get_template("attribute.html")
    attributes = {"token_endpoint": config.token_endpoint, "avatar_id": config.avatar_id}
    loaders = frozenset(address(url) for url in (config.loader.url, *_DOCUMENTED_LOADERS))
    return Embed(
        loader=environment.get_template("loader.html").render(loader=config.loader) + "\n",
        loaders=loaders,
        element=ELEMENT,
        mention=find_mention(ELEMENT, loaders),
        attributes=tuple(
            (name, attribute.render(name=name, value=value)) for name, value in attributes.items()
        ),
    )


def address(url: str) -> tuple[str, str]:
    """Host and path of a URL, without scheme, default port, query and fragment.

    Args:
        url: absolute, with or without its scheme; of anything else the host is empty.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ("", url)
    host = parts.hostname or ""
    return (host if port in (None, 80, 443) else f"{host}:{port}", parts.path)


def find_mention(element: str, loaders: Iterable[tuple[str, str]]) -> re.Pattern[str]:
    """A pattern for pages that may have the element or one of the loaders."""
    hosts = "|".join(sorted({re.escape(host) for host, _ in loaders}))
    return re.compile(f"<(?:{element}|script[^<]*(?:{hosts}))", re.IGNORECASE)
