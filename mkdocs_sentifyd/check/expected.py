"""What a page should have, by the record of the build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mkdocs_sentifyd.components import COMPONENTS
from mkdocs_sentifyd.options.behaviour import Behaviour
from mkdocs_sentifyd.options.schema import SentifydConfig
from mkdocs_sentifyd.tags.loader import Loader
from mkdocs_sentifyd.tags.recorded import digest

__all__ = ["Expectations", "Expected"]

_COMPONENTS = {component.element: name for name, component in COMPONENTS.items()}


@dataclass(frozen=True, slots=True)
class Expected:
    """What a page with an avatar should have.

    Attributes:
        settings: the settings in the record.
        loader: the script that defines the element; only its addresses count if `loader_is_known`
            is false, because an author or a page's front matter chose the script.
        loader_is_known: whether the configuration has the loader.
        behaviour: the options for the browser.
        public_key: an API key that is allowed in the page.
    """

    settings: Mapping[str, Any]
    loader: Loader
    loader_is_known: bool
    behaviour: Behaviour
    public_key: str | None

    @property
    def component(self) -> str:
        """`bot` or `realtime`."""
        return self.loader.component

    @property
    def element(self) -> str:
        """Name of the custom element."""
        return str(self.settings["element"])

    @property
    def attributes(self) -> Mapping[str, str]:
        """Attributes of the element, without its style."""
        found: Mapping[str, str] = self.settings["attributes"]
        return found


class Expectations:
    """What the pages of a site should have.

    Args:
        options: the plugin's options.
    """

    def __init__(self, options: SentifydConfig) -> None:
        self._behaviour = options.behaviour
        self._public_key = options.public_api_key
        pages = [options, *(options.page(override.options) for override in options.overrides)]
        loaders = map(Loader.of, pages)
        self._loaders = {digest(loader.properties()): loader for loader in loaders}

    def of(self, settings: Mapping[str, Any]) -> Expected:
        """Return what a page with these settings in the record should have."""
        component = _COMPONENTS[settings["element"]]
        known = self._loaders.get(settings["loader"])
        default = COMPONENTS[component]
        return Expected(
            settings,
            known or Loader(component, default.loader, default.loader_type),
            known is not None,
            self._behaviour,
            self._public_key,
        )
