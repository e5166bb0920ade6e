"""The avatar of a page as data, and its tags, which are rendered only once per build."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from mkdocs_sentifyd.components import COMPONENTS, STORAGE_PREFIXES, TOKENS_PREFIX, canonical_name
from mkdocs_sentifyd.options.behaviour import Behaviour
from mkdocs_sentifyd.options.schema import PageConfig
from mkdocs_sentifyd.tags import runtime
from mkdocs_sentifyd.tags.element import element_attributes
from mkdocs_sentifyd.tags.templates import render

__all__ = ["Avatar", "Embed", "Loader", "address", "host_pattern"]

# Browsers do not run scripts of other types (HTML Standard, "prepare the script element").
_SCRIPT_TYPES = {"", "module", "text/javascript", "application/javascript"}
# The style sheet of the runtime contains these rules too.
_STATIC_ONLY = "print"


@dataclass(frozen=True, slots=True)
class Loader:
    """The script that defines an element.

    Attributes:
        url: URL of the script.
        type: `classic` or `module`.
        integrity: Subresource Integrity metadata, or `None`.
        crossorigin: CORS mode of the request, or `None`.
    """

    url: str
    type: str
    integrity: str | None = None
    crossorigin: str | None = None

    def attributes(self) -> dict[str, str]:
        """Return the attributes of its tag, in the order of the HTML."""
        kind = {"type": "module"} if self.type == "module" else {"defer": ""}
        return _set(src=self.url, integrity=self.integrity, crossorigin=self.crossorigin) | kind

    def properties(self) -> dict[str, str]:
        """Return the DOM properties with which the runtime creates the script."""
        kind = "module" if self.type == "module" else None
        return _set(src=self.url, integrity=self.integrity, crossOrigin=self.crossorigin, type=kind)


@dataclass(frozen=True)
class Embed:
    """The avatar of a page. Each tag is rendered only once.

    Attributes:
        component: `bot` or `realtime`.
        attributes: attributes of the element, in the order of the HTML.
        loader: the script that defines the element.
        style_sheets: names of the style sheets for static tags.
        behaviour: the options for the browser.
        page: settings for the runtime other than element and loader.
        root: relative path from the page to the root of the site: empty, or ending in `/`.
        public_key: an API key that is allowed in the page.
    """

    component: str
    attributes: Mapping[str, str]
    loader: Loader
    style_sheets: tuple[str, ...]
    behaviour: Behaviour
    page: Mapping[str, Any]
    root: str
    public_key: str | None = None
    _runtime_tags: dict[tuple[bool, bool], str] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def element(self) -> str:
        """Name of the custom element."""
        return COMPONENTS[self.component].element

    @functools.cached_property
    def loaders(self) -> frozenset[tuple[str, str]]:
        """Host and path of every script that defines the element; see `address`."""
        component = COMPONENTS[self.component]
        urls = (self.loader.url, component.loader, *component.other_loaders)
        return frozenset(map(address, urls))

    @functools.cached_property
    def hosts(self) -> re.Pattern[str]:
        """Pattern for the hosts of the loaders."""
        return host_pattern(self.loaders)

    def is_loader(self, script: Mapping[str, str]) -> bool:
        """Whether a script defines the element, also if it is a local copy by the privacy plugin.

        Args:
            script: attributes of the script tag.
        """
        kind = script.get("type", "").strip().lower()
        if kind not in _SCRIPT_TYPES or "nomodule" in script:
            return False
        source = script.get("src", "").strip()
        copy = source.partition("assets/external/")[2]
        return address(source) in self.loaders or (
            copy != "" and address(f"//{copy}") in self.loaders
        )

    def missing(self, present: Iterable[str]) -> dict[str, str]:
        """Return the attributes that an author's element lacks.

        Args:
            present: lower-case names of the attributes that it has, in either spelling.
        """
        names = set(map(canonical_name, present))
        return {k: v for k, v in self.attributes.items() if canonical_name(k) not in names}

    def runtime_settings(
        self,
        attributes: Mapping[str, str] | None = None,
        *,
        handles_typing: bool,
        has_loader: bool = False,
        has_place: bool = False,
    ) -> dict[str, Any]:
        """Return the settings that the runtime reads on a page.

        Args:
            attributes: attributes of the element; by default those of the configuration.
            handles_typing: whether the theme reacts to keys that are typed into the avatar.
            has_loader: whether the page's author added the loader.
            has_place: whether the page's author placed the element.
        """
        if attributes is None:
            attributes = self.attributes
        by_name = {canonical_name(name): value for name, value in attributes.items()}
        avatar, endpoint = by_name["avatar_id"], by_name.get("token_endpoint")
        component = COMPONENTS[self.component]
        read_on_connect = [attributes.get(name) for name in component.read_on_connect]
        return {
            **self.page,
            "avatar": avatar,
            "endpoint": endpoint,
            "element": component.element,
            # If it changes, the runtime creates a new element.
            "identity": " ".join(map(str, [component.element, avatar, endpoint, *read_on_connect])),
            "opening": asdict(component.opening),
            "ending": component.ending and asdict(component.ending),
            "stored": list(STORAGE_PREFIXES),
            "tokens": TOKENS_PREFIX,
            "loader": None if has_loader else self.loader.properties(),
            "place": has_place,
            "attributes": attributes,
            "parts": runtime.parts(self.behaviour, handles_typing=handles_typing),
        }

    @functools.cached_property
    def loader_tag(self) -> str:
        """The loader's script tag, with a line end."""
        return render("loader.html", loader=self.loader) + "\n"

    @functools.cached_property
    def element_tag(self) -> str:
        """The element's start and end tag, with a line end."""
        return f"<{self.element}{''.join(self._attribute_texts.values())}></{self.element}>\n"

    @functools.cached_property
    def style_tags(self) -> str:
        """The links to the style sheets for static tags."""
        return "".join(runtime.style_sheet(self.root, name) for name in self.style_sheets)

    def runtime_tags(
        self, own: Mapping[str, str] | None, *, handles_typing: bool, has_loader: bool
    ) -> str:
        """Return the tags for the head of a page with the runtime.

        Args:
            own: attributes of the element that the page's author placed, or `None`.
            handles_typing: whether the theme reacts to keys that are typed into the avatar.
            has_loader: whether the page's author added the loader.
        """
        if own is not None:
            settings = self.runtime_settings(
                {**own, **self.missing(own)},
                handles_typing=handles_typing,
                has_loader=has_loader,
                has_place=True,
            )
            return self._with_settings(settings)
        key = (handles_typing, has_loader)
        if key not in self._runtime_tags:
            settings = self.runtime_settings(handles_typing=handles_typing, has_loader=has_loader)
            self._runtime_tags[key] = self._with_settings(settings)
        return self._runtime_tags[key]

    def missing_text(self, present: Iterable[str]) -> str:
        """Return the attributes that an author's element lacks as HTML, each after a space.

        Args:
            present: lower-case names of the attributes that it has, in either spelling.
        """
        return "".join(self._attribute_texts[name] for name in self.missing(present))

    @functools.cached_property
    def _attribute_texts(self) -> dict[str, str]:
        return {
            name: render("attribute.html", name=name, value=value)
            for name, value in self.attributes.items()
        }

    def _with_settings(self, settings: Mapping[str, Any]) -> str:
        sheets = (name for name in self.style_sheets if name != _STATIC_ONLY)
        styles = (runtime.style_sheet(self.root, name) for name in sheets)
        return "".join([runtime.settings_tags(self.root, settings), *styles])


class Avatar:
    """An avatar that is the same on any number of pages.

    Args:
        settings: the options of these pages.
        behaviour: the options for the browser.
    """

    def __init__(self, settings: PageConfig, behaviour: Behaviour) -> None:
        self.settings = settings
        self.behaviour = behaviour
        self._embeds: dict[tuple[str, str], Embed] = {}

    def embed(self, language: str, root: str) -> Embed:
        """Return the tags for a page; pages with the same language and root share them.

        Args:
            language: the page's language, a code such as `de` or `pt-BR`.
            root: relative path from the page to the root of the site: empty, or ending in `/`.
        """
        key = (language, root)
        embed = self._embeds.get(key)
        if embed is None:
            embed = self._embeds[key] = self._make(language, root)
        return embed

    def _make(self, language: str, root: str) -> Embed:
        settings = self.settings
        component, loader = COMPONENTS[settings.component], settings.loader
        palette = ("palette",) if settings.appearance.follow_palette else ()
        return Embed(
            component=settings.component,
            attributes=element_attributes(settings, language, root),
            loader=Loader(
                url=loader.url or component.loader,
                type=loader.type or component.loader_type,
                integrity=loader.integrity,
                crossorigin=loader.crossorigin,
            ),
            style_sheets=(_STATIC_ONLY, *palette),
            behaviour=self.behaviour,
            page=runtime.page_settings(settings, self.behaviour, language, root),
            root=root,
            public_key=settings.public_api_key,
        )


def address(url: str) -> tuple[str, str]:
    """Return host and path of a URL, without scheme, default port, query and fragment.

    Args:
        url: an absolute URL, with or without scheme. For other texts the host is empty.
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
    """Return a pattern for the hosts of loaders, given as host and path."""
    return re.compile("|".join(sorted({re.escape(host) for host, _ in loaders})), re.IGNORECASE)


def _set(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}
