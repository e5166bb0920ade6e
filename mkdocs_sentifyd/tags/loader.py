"""The script that defines an element, and how to recognise its tag in a page."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from mkdocs_sentifyd.components import COMPONENTS
from mkdocs_sentifyd.options.schema import PageConfig

__all__ = ["Loader", "address"]

# Browsers do not run scripts of other types (HTML Standard, "prepare the script element").
_SCRIPT_TYPES = {"", "module", "text/javascript", "application/javascript"}


@dataclass(frozen=True)
class Loader:
    """The script that defines an element.

    Attributes:
        component: `bot` or `realtime`.
        url: URL of the script.
        type: `classic` or `module`.
        integrity: Subresource Integrity metadata, or `None`.
        crossorigin: CORS mode of the request, or `None`.
    """

    component: str
    url: str
    type: str
    integrity: str | None = None
    crossorigin: str | None = None

    @classmethod
    def of(cls, settings: PageConfig) -> Loader:
        """Return the loader of a page with these options."""
        component, loader = COMPONENTS[settings.component], settings.loader
        return cls(
            component=settings.component,
            url=loader.url or component.loader,
            type=loader.type or component.loader_type,
            integrity=loader.integrity,
            crossorigin=loader.crossorigin,
        )

    def attributes(self) -> dict[str, str]:
        """Return the attributes of its tag, in the order of the HTML."""
        kind = {"type": "module"} if self.type == "module" else {"defer": ""}
        return _set(src=self.url, integrity=self.integrity, crossorigin=self.crossorigin) | kind

    def properties(self) -> dict[str, str]:
        """Return the DOM properties with which the runtime creates the script."""
        kind = "module" if self.type == "module" else None
        return _set(src=self.url, integrity=self.integrity, crossOrigin=self.crossorigin, type=kind)

    @functools.cached_property
    def addresses(self) -> frozenset[tuple[str, str]]:
        """Host and path of every script that defines the element; see `address`."""
        component = COMPONENTS[self.component]
        urls = (self.url, component.loader, *component.other_loaders)
        return frozenset(map(address, urls))

    @functools.cached_property
    def hosts(self) -> re.Pattern[str]:
        """Pattern for the hosts of these scripts."""
        return _host_pattern(self.addresses)

    def is_in(self, script: Mapping[str, str]) -> bool:
        """Whether a script defines the element, also if it is a local copy by the privacy plugin.

        Args:
            script: attributes of the script tag.
        """
        kind = script.get("type", "").strip().lower()
        if kind not in _SCRIPT_TYPES or "nomodule" in script:
            return False
        source = script.get("src", "").strip()
        copy = source.partition("assets/external/")[2]
        return address(source) in self.addresses or (
            copy != "" and address(f"//{copy}") in self.addresses
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
def _host_pattern(addresses: frozenset[tuple[str, str]]) -> re.Pattern[str]:
    return re.compile("|".join(sorted({re.escape(host) for host, _ in addresses})), re.IGNORECASE)


def _set(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}
