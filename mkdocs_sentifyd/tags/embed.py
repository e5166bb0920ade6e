"""The avatar of a page as data, and its tags, which are rendered only once per build."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mkdocs_sentifyd.components import COMPONENTS, STORAGE_PREFIXES, TOKENS_PREFIX, canonical_name
from mkdocs_sentifyd.options.behaviour import Behaviour
from mkdocs_sentifyd.options.schema import PageConfig
from mkdocs_sentifyd.tags import runtime
from mkdocs_sentifyd.tags.element import element_attributes
from mkdocs_sentifyd.tags.loader import Loader
from mkdocs_sentifyd.tags.recorded import recorded
from mkdocs_sentifyd.tags.templates import render

__all__ = ["Avatar", "Embed"]

# The style sheet of the runtime contains these rules too.
_STATIC_ONLY = "print"


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

    _recorded: dict[tuple[bool, bool], Mapping[str, Any]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def element(self) -> str:
        """Name of the custom element."""
        return COMPONENTS[self.component].element

    def missing(self, present: Iterable[str]) -> dict[str, str]:
        """Return the attributes that an author's element lacks.

        Args:
            present: lower-case names of the attributes that it has, in either spelling.
        """
        names = set(map(canonical_name, present))
        return {k: v for k, v in self.attributes.items() if canonical_name(k) not in names}

    def runtime_settings(
        self, own: Mapping[str, str] | None, *, handles_typing: bool, has_loader: bool
    ) -> dict[str, Any]:
        """Return the settings that the runtime reads on a page.

        Args:
            own: attributes of the element that the page's author placed, or `None`.
            handles_typing: whether the theme reacts to keys that are typed into the avatar.
            has_loader: whether the page's author added the loader.
        """
        attributes = self.attributes if own is None else {**own, **self.missing(own)}
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
            "place": own is not None,
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
        """Return the tags for the head of a page with the runtime; see `runtime_settings`."""
        key = (handles_typing, has_loader)
        if own is None and key in self._runtime_tags:
            return self._runtime_tags[key]
        settings = self.runtime_settings(own, handles_typing=handles_typing, has_loader=has_loader)
        text = self._with_settings(settings)
        if own is None:
            self._runtime_tags[key] = text
        return text

    def recorded_settings(
        self, own: Mapping[str, str] | None, *, handles_typing: bool, has_loader: bool
    ) -> Mapping[str, Any]:
        """Return what the record of the build says about a page; see `runtime_settings`."""
        key = (handles_typing, has_loader)
        if own is None and key in self._recorded:
            return self._recorded[key]
        settings = recorded(
            self.runtime_settings(own, handles_typing=handles_typing, has_loader=has_loader)
        )
        if own is None:
            self._recorded[key] = settings
        return settings

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
        palette = ("palette",) if settings.appearance.follow_palette else ()
        return Embed(
            component=settings.component,
            attributes=element_attributes(settings, language, root),
            loader=Loader.of(settings),
            style_sheets=(_STATIC_ONLY, *palette),
            behaviour=self.behaviour,
            page=runtime.page_settings(settings, self.behaviour, language, root),
            root=root,
            public_key=settings.public_api_key,
        )
