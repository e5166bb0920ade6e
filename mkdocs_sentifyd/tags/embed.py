"""What a page gets, as data; the tags that say it are rendered last, and once a build."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from mkdocs_sentifyd.components import COMPONENTS, STORED, credential
from mkdocs_sentifyd.options.behaviour import Behaviour
from mkdocs_sentifyd.options.schema import PageConfig
from mkdocs_sentifyd.tags import runtime
from mkdocs_sentifyd.tags.element import element_attributes
from mkdocs_sentifyd.tags.templates import render

__all__ = ["Avatar", "Embed", "Loader", "address", "host_pattern"]

# A browser runs no script of any other type (HTML Standard, "prepare the script element").
_SCRIPT_TYPES = {"", "module", "text/javascript", "application/javascript"}
# The runtime has its own rules for printing.
_STATIC_ONLY = "print"


@dataclass(frozen=True, slots=True)
class Loader:
    """The script that defines an element.

    Attributes:
        url: its address.
        type: `classic` or `module`.
        integrity: Subresource Integrity metadata, if it has to match.
        crossorigin: CORS mode of the request, if there is one.
    """

    url: str
    type: str
    integrity: str | None = None
    crossorigin: str | None = None

    def attributes(self) -> dict[str, str]:
        """Those of its tag, in the order in which they are written."""
        kind = {"type": "module"} if self.type == "module" else {"defer": ""}
        return _set(src=self.url, integrity=self.integrity, crossorigin=self.crossorigin) | kind

    def properties(self) -> dict[str, str]:
        """Those of a script in the DOM, for a browser to make it."""
        kind = "module" if self.type == "module" else None
        return _set(src=self.url, integrity=self.integrity, crossOrigin=self.crossorigin, type=kind)


@dataclass(frozen=True)
class Embed:
    """What a page gets. The methods that return tags render each of them only once.

    Attributes:
        component: name of the component, as the option has it.
        attributes: those of the element, in the order in which they are written.
        loader: the script that defines the element.
        style_sheets: names of those that go with static tags.
        behaviour: what the site wants in the browser.
        page: what the runtime has to know of the page beside element and loader.
        root: the way from the page to the root of the site, empty or with a `/` at its end.
        public_key: a key that may be in the page.
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
        """Addresses of scripts that define the element; a page that has one needs no other."""
        component = COMPONENTS[self.component]
        urls = (self.loader.url, component.loader, *component.other_loaders)
        return frozenset(map(address, urls))

    @functools.cached_property
    def hosts(self) -> re.Pattern[str]:
        """Matches the names of the hosts that the loaders come from."""
        return host_pattern(self.loaders)

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

    def missing(self, present: Iterable[str]) -> dict[str, str]:
        """The attributes that an author's element lacks; credentials have two spellings.

        Args:
            present: names of the attributes that it has, in lower case.
        """
        spelt = set(map(credential, present))
        return {k: v for k, v in self.attributes.items() if credential(k) not in spelt}

    def runtime_settings(
        self,
        attributes: Mapping[str, str] | None = None,
        *,
        takes_keys: bool,
        has_loader: bool = False,
        has_place: bool = False,
    ) -> dict[str, Any]:
        """What the runtime reads on a page.

        Args:
            attributes: of the element, where they are not those of the configuration.
            takes_keys: whether the theme acts on keys that are typed into the avatar.
            has_loader: whether the page's author wrote the loader.
            has_place: whether the page's author placed the element.
        """
        written = self.attributes if attributes is None else attributes
        spelt = {credential(name): value for name, value in written.items()}
        avatar, endpoint = spelt["avatar_id"], spelt.get("token_endpoint")
        component = COMPONENTS[self.component]
        fixed = [written.get(name) for name in component.fixed]
        return {
            **self.page,
            "avatar": avatar,
            # As browsers write it in their records of requests.
            "endpoint": endpoint and runtime.serialised(endpoint),
            "element": component.element,
            # Another value of any of these needs a new element.
            "identity": " ".join(map(str, [component.element, avatar, endpoint, *fixed])),
            "opening": asdict(component.opening),
            "stored": list(STORED),
            "loader": None if has_loader else self.loader.properties(),
            "place": has_place,
            "attributes": written,
            "parts": runtime.parts(self.behaviour, takes_keys=takes_keys),
        }

    @functools.cached_property
    def loader_tag(self) -> str:
        """The script tag, with a line end."""
        return render("loader.html", loader=self.loader) + "\n"

    @functools.cached_property
    def element_tag(self) -> str:
        """The whole element, with a line end."""
        return f"<{self.element}{''.join(self._attribute_texts.values())}></{self.element}>\n"

    @functools.cached_property
    def style_tags(self) -> str:
        """Links to the style sheets that go with static tags."""
        return "".join(runtime.style_sheet(self.root, name) for name in self.style_sheets)

    def runtime_tags(
        self, own: Mapping[str, str] | None, *, takes_keys: bool, has_loader: bool
    ) -> str:
        """What stands in the head of a page that has the runtime.

        Args:
            own: attributes of the element that its author placed, if there is one.
            takes_keys: whether the theme acts on keys that are typed into the avatar.
            has_loader: whether its author wrote the loader.
        """
        if own is not None:
            settings = self.runtime_settings(
                {**own, **self.missing(own)},
                takes_keys=takes_keys,
                has_loader=has_loader,
                has_place=True,
            )
            return self._with_settings(settings)
        key = (takes_keys, has_loader)
        if key not in self._runtime_tags:
            settings = self.runtime_settings(takes_keys=takes_keys, has_loader=has_loader)
            self._runtime_tags[key] = self._with_settings(settings)
        return self._runtime_tags[key]

    def missing_text(self, present: Iterable[str]) -> str:
        """The attributes that an author's element lacks, each with a space before it.

        Args:
            present: names of the attributes that it has, in lower case.
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
        """What a page gets.

        Args:
            language: the page's language, a code such as `de` or `pt-BR`.
            root: the way from the page to the root of the site, empty or with a `/` at its end.
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
            page=runtime.page_settings(settings, self.behaviour, language),
            root=root,
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


def _set(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}
