"""Check one page: compare what it has with what it should have.

Parsing a whole page with BeautifulSoup takes twenty times as long as finding its few tags that
matter with the tokenizer, so BeautifulSoup reads only those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from bs4 import BeautifulSoup, Tag

from mkdocs_sentifyd.api_keys import find_api_key
from mkdocs_sentifyd.check.expected import Expected
from mkdocs_sentifyd.check.findings import Finding, Severity, finding
from mkdocs_sentifyd.check.runtime import is_core, read_settings, runtime_findings
from mkdocs_sentifyd.components import ADDRESSES, ATTRIBUTES, COMPONENTS, canonical_name
from mkdocs_sentifyd.markup.theme import traits
from mkdocs_sentifyd.markup.tokenizer import tags
from mkdocs_sentifyd.tags.loader import address
from mkdocs_sentifyd.tags.recorded import digest

__all__ = ["CheckedPage"]

_ELEMENTS = {component.element for component in COMPONENTS.values()}
_NAMES = frozenset({*_ELEMENTS, "script", "meta"})
_LOADERS = {
    address(url): name
    for name, component in COMPONENTS.items()
    for url in (component.loader, *component.other_loaders)
}
_KINDS = {"script": "the loader", "meta": "the settings of an avatar"}
_REPEATED = "repeated attributes"
# With one of these, an element can get tokens.
_CREDENTIALS = {canonical_name(ATTRIBUTES[name]) for name in ("token_endpoint", "public_api_key")}


class CheckedPage:
    """A page, parsed.

    Args:
        site_dir: folder of the built site.
        path: path of the page below that folder.
        html: text of the page.
    """

    def __init__(self, site_dir: Path, path: str, html: str) -> None:
        self._site_dir = site_dir
        self._path = path
        # Plain strings are enough here; by default the parser splits `class` and others into lists.
        soup = BeautifulSoup(
            "".join(_excerpts(html)),
            "html.parser",
            on_duplicate_attribute=_note_repeated,
            multi_valued_attributes=None,
        )
        self._elements = soup.find_all(list(_ELEMENTS))
        self._scripts = soup.find_all("script", src=True)
        self._metas = soup.find_all("meta", attrs={"name": "sentifyd"})
        self._traits = traits(html)

    def check_without_avatar(self) -> Iterator[Finding]:
        """Find the parts of an avatar on a page that should have none."""
        loaders = [tag for tag in self._scripts if address(_source(tag)) in _LOADERS]
        for tag in (*self._elements, *loaders, *self._metas):
            kind = _KINDS.get(tag.name, f"a <{tag.name}>")
            # An author's tag without a script or credentials does nothing, so it is only a warning.
            is_bare = not (loaders or self._metas) and _CREDENTIALS.isdisjoint(
                map(canonical_name, tag.attrs)
            )
            severity = Severity.WARNING if is_bare else Severity.ERROR
            yield self._finding("unexpected-avatar", severity, part=kind)

    def check_with_avatar(self, expected: Expected) -> Iterator[Finding]:
        """Compare a page with the tags that it should have."""
        elements = [tag for tag in self._elements if tag.name == expected.element]
        loaders = [tag for tag in self._scripts if expected.loader.is_in(_attributes(tag))]
        if expected.behaviour.needs_runtime or self._traits.is_instant:
            yield from self._check_with_runtime(elements, loaders, expected)
            return
        for name, found in (("element", elements), ("loader", loaders)):
            if not found and (name == "element" or expected.loader_is_known):
                yield self._finding(f"{name}-missing")
            elif len(found) > 1:
                count = len(found)
                yield self._finding(f"{name}-repeated", count=count, element=expected.element)
        for tag in self._other_component(expected):
            yield self._finding("other-component", element=tag.name, component=expected.component)
        for tag in (*elements, *loaders):
            yield from self._repeated(tag)
        if elements:
            yield from self._attributes(_attributes(elements[0]), expected)
        if loaders and expected.loader_is_known:
            yield from self._loader(loaders[0], expected)

    def _check_with_runtime(
        self, elements: list[Tag], loaders: list[Tag], expected: Expected
    ) -> Iterator[Finding]:
        """Compare a page on which the browser runtime creates the element."""
        cores = [tag for tag in self._scripts if is_core(tag)]
        yield from runtime_findings(self._path, self._metas, cores, expected)
        for tag in elements:
            yield self._finding("element-beside-runtime", element=tag.name)
        for tag in loaders if expected.behaviour.delays_loader else ():
            yield self._finding("loader-early", url=_source(tag))
        for tag in cores:
            if not self._exists(_source(tag)):
                yield self._finding("runtime-file-missing", url=_source(tag))
        for meta in self._metas[:1]:
            attributes = read_settings(meta).get("attributes")
            yield from self._attributes(
                attributes if isinstance(attributes, dict) else {}, expected
            )

    def _other_component(self, expected: Expected) -> list[Tag]:
        """Elements of the other component, and the loaders that define it."""
        elements = [tag for tag in self._elements if tag.name != expected.element]
        others = {
            location for location, name in _LOADERS.items() if name != expected.component
        } - expected.loader.addresses
        return elements + [tag for tag in self._scripts if address(_source(tag)) in others]

    def _repeated(self, tag: Tag) -> Iterator[Finding]:
        names = list(tag.attrs.get(_REPEATED, []))
        present = list(map(canonical_name, tag.attrs))
        names += [name for name in ("avatar_id", "token_endpoint") if present.count(name) > 1]
        for name in names:
            yield self._finding("attribute-repeated", element=tag.name, attribute=name)

    def _attributes(self, found: Mapping[str, str], expected: Expected) -> Iterator[Finding]:
        by_name = {canonical_name(name): value for name, value in found.items()}
        if find_api_key({k: v for k, v in found.items() if v != expected.public_key}):
            yield self._finding("key-on-element", element=expected.element)
        for name, wanted in expected.attributes.items():
            value = by_name.get(canonical_name(name))
            if value is None:
                yield self._finding("attribute-missing", element=expected.element, attribute=name)
            elif value != wanted:
                yield self._finding("attribute-differs", element=expected.element, attribute=name)
        style = by_name.get("style")
        if (style and digest(style)) != expected.settings["style"]:
            yield self._finding("attribute-differs", element=expected.element, attribute="style")
        for name in ADDRESSES:
            if name in found and not self._exists(found[name]):
                yield self._finding("address-broken", attribute=name)

    def _loader(self, loader: Tag, expected: Expected) -> Iterator[Finding]:
        found = _attributes(loader)
        for name, value in expected.loader.attributes().items():
            if name != "src" and found.get(name) != value:
                yield self._finding("loader-differs", attribute=name)
        if found["src"].strip().lower().startswith("http://") and expected.loader.url.startswith(
            "https://"
        ):
            yield self._finding("loader-insecure")

    def _exists(self, target: str) -> bool:
        try:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc or target.startswith("/"):
                return True
            path = urlsplit(urljoin(f"/{self._path}", target)).path
            file = self._site_dir / unquote(path)[1:]
            return file.is_file() or (file / "index.html").is_file()
        except (OSError, ValueError):
            return False

    def _finding(self, key: str, severity: Severity | None = None, **values: object) -> Finding:
        return finding(key, self._path, code=None, severity=severity, **values)


def _excerpts(html: str) -> Iterator[str]:
    """Yield the real tags that matter to a check, each with its end tag."""
    for tag in tags(html, _NAMES):
        if tag.name in _NAMES and not tag.is_end:
            yield f"{html[tag.start : tag.end]}</{tag.name}>"


def _note_repeated(attributes: dict[str, Any], name: str, _: object) -> None:
    attributes.setdefault(_REPEATED, []).append(name)


def _attributes(tag: Tag) -> dict[str, str]:
    return {name: str(value) for name, value in tag.attrs.items() if name != _REPEATED}


def _source(tag: Tag) -> str:
    return str(tag.get("src") or "").strip()
