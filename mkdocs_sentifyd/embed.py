"""From options to tags: Jinja2 templates with autoescaping, rendered once a build."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from mkdocs_sentifyd.attributes import element_attributes
from mkdocs_sentifyd.browser import Behaviour, Runtime, page_settings, style_sheet
from mkdocs_sentifyd.components import COMPONENTS, credential
from mkdocs_sentifyd.config import PageConfig
from mkdocs_sentifyd.rendering import render

__all__ = ["Avatar", "Embed", "address", "host_pattern", "make_embed"]

# Of any other type a browser runs no script (HTML Standard, "prepare the script element").
_SCRIPT_TYPES = {"", "module", "text/javascript", "application/javascript"}


@dataclass(frozen=True, slots=True)
class Embed:
    """What a page gets.

    Attributes:
        loader: the script tag.
        loaders: addresses of scripts that define the element; a page that has one needs no other.
        component: name of the component, as the option has it.
        element: name of the custom element.
        hosts: matches the names of the hosts that the loaders come from.
        tag: the whole element.
        attributes: names, and each attribute written out with a space before it.
        styles: links to the style sheets that go with the static tags.
        palette: the one of them that goes with the runtime too, or nothing.
        needs_runtime: whether the site asks for what only the browser runtime can do.
        runtime: what writes the runtime's tags.
        public_key: what may stand there although it is a key.
    """

    loader: str
    loaders: frozenset[tuple[str, str]]
    component: str
    element: str
    hosts: re.Pattern[str]
    tag: str
    attributes: tuple[tuple[str, str], ...]
    styles: str
    palette: str
    needs_runtime: bool
    runtime: Runtime
    public_key: str | None = None

    def missing(self, present: Iterable[str]) -> str:
        """The attributes that an author's element lacks; credentials have two spellings.

        Args:
            present: names of the attributes that it has, in lower case.
        """
        spelt = set(map(credential, present))
        return "".join(text for name, text in self.attributes if credential(name) not in spelt)

    def is_loader(self, script: Mapping[str, str]) -> bool:
        """Whether a script defines the element, fetched from its host or from a copy on the site.

        Args:
            script: its attributes.
        """
        kind = script.get("type", "").strip().lower()
        if kind not in _SCRIPT_TYPES or "nomodule" in script:
            return False
        source = script.get("src", "").strip()
        copy = source.partition("assets/external/")[2]
        return address(source) in self.loaders or (
            copy != "" and address(f"//{copy}") in self.loaders
        )


class Avatar:
    """An avatar that any number of pages have.

    Args:
        settings: the options of these pages.
        behaviour: what the site wants in the browser.
    """

    def __init__(self, settings: PageConfig, behaviour: Behaviour) -> None:
        self.settings = settings
        self.behaviour = behaviour
        self._embeds: dict[tuple[str, str], Embed] = {}

    def embed(self, language: str, root: str) -> Embed:
        """The tags of a page.

        Args:
            language: the page's language, a code such as `de` or `pt-BR`.
            root: the way from the page to the root of the site, empty or with a `/` at its end.
        """
        key = (language, root)
        embed = self._embeds.get(key)
        if embed is None:
            embed = self._embeds[key] = make_embed(self.settings, self.behaviour, *key)
        return embed


def make_embed(settings: PageConfig, behaviour: Behaviour, language: str, root: str) -> Embed:
    """Render the tags that the options ask for; the arguments are those of `Avatar`."""
    component = COMPONENTS[settings.component]
    url = settings.loader.url or component.loader
    kind = settings.loader.type or component.loader_type
    # As properties of a script in the DOM.
    script: dict[str, str | None] = {
        "src": url,
        "integrity": settings.loader.integrity,
        "crossOrigin": settings.loader.crossorigin,
        "type": "module" if kind == "module" else None,
    }
    palette = style_sheet(root, "palette") if settings.appearance.follow_palette else ""
    attributes = element_attributes(settings, language, root)
    written = {
        name: render("attribute.html", name=name, value=value) for name, value in attributes.items()
    }
    loader = render(
        "loader.html",
        url=url,
        type=kind,
        integrity=settings.loader.integrity,
        crossorigin=settings.loader.crossorigin,
    )
    loaders = frozenset(map(address, (url, component.loader, *component.other_loaders)))
    return Embed(
        loader=loader + "\n",
        loaders=loaders,
        component=settings.component,
        element=component.element,
        hosts=host_pattern(loaders),
        tag=f"<{component.element}{''.join(written.values())}></{component.element}>\n",
        attributes=tuple(written.items()),
        styles=style_sheet(root, "print") + palette,
        palette=palette,
        needs_runtime=behaviour.needs_runtime,
        runtime=Runtime(
            page_settings(settings, behaviour, language),
            behaviour,
            component,
            attributes,
            {name: value for name, value in script.items() if value is not None},
            root,
        ),
        public_key=settings.public_api_key,
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
    host = f"[{host}]" if ":" in host else host
    return (host if port in (None, 80, 443) else f"{host}:{port}", parts.path)


@functools.cache
def host_pattern(loaders: frozenset[tuple[str, str]]) -> re.Pattern[str]:
    """A pattern for the names of the hosts that loaders come from."""
    return re.compile("|".join(sorted({re.escape(host) for host, _ in loaders})), re.IGNORECASE)
