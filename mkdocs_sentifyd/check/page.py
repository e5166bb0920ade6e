"""Checking one page: what it has against what it ought to have.

It is read with BeautifulSoup and not as `inject` reads it, so that one finds the other's mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from bs4 import BeautifulSoup, Tag

from mkdocs_sentifyd.api_keys import find_api_key
from mkdocs_sentifyd.check.findings import Finding, Severity, finding
from mkdocs_sentifyd.check.runtime import is_core, read_settings, runtime_findings
from mkdocs_sentifyd.components import ADDRESSES, ATTRIBUTES, COMPONENTS, credential
from mkdocs_sentifyd.markup.theme import traits
from mkdocs_sentifyd.tags.embed import Embed, address

__all__ = ["CheckedPage"]

# Nothing in there is part of the page, whatever this parser makes of it.
_QUOTING = ["iframe", "noembed", "noframes", "noscript", "plaintext", "template", "textarea"]
_QUOTING += ["title", "xmp"]
_ELEMENTS = {component.element: name for name, component in COMPONENTS.items()}
_LOADERS = {
    address(url): name
    for name, component in COMPONENTS.items()
    for url in (component.loader, *component.other_loaders)
}
_KINDS = {"script": "the loader", "meta": "the settings of an avatar"}
_REPEATED = "repeated attributes"
# With one of these an element may reach a token service, or Sentifyd itself.
_WAYS_IN = {credential(ATTRIBUTES[name]) for name in ("token_endpoint", "public_api_key")}


class CheckedPage:
    """A page, parsed.

    Args:
        site_dir: folder of the built site.
        path: of the page below it.
        html: its text.

    Raises:
        ParserRejectedMarkup: the parser cannot read it.
    """

    def __init__(self, site_dir: Path, path: str, html: str) -> None:
        self._site_dir = site_dir
        self._path = path
        # Lists of classes and the like are of no use here.
        soup = BeautifulSoup(
            html,
            "html.parser",
            on_duplicate_attribute=_note_repeated,
            multi_valued_attributes=None,
        )
        self._elements = [tag for tag in soup.find_all(list(_ELEMENTS)) if _is_real(tag)]
        self._scripts = [tag for tag in soup.find_all("script", src=True) if _is_real(tag)]
        self._metas = soup.find_all("meta", attrs={"name": "sentifyd"})
        self._traits = traits(html)

    def without_avatar(self) -> Iterator[Finding]:
        """What an unchosen page must not have."""
        loaders = [tag for tag in self._scripts if address(_source(tag)) in _LOADERS]
        for tag in (*self._elements, *loaders, *self._metas):
            kind = _KINDS.get(tag.name, f"a <{tag.name}>")
            # An author's own tag alone gets nobody anywhere: it has no way in, and no script.
            is_bare = not (loaders or self._metas) and _WAYS_IN.isdisjoint(
                map(credential, tag.attrs)
            )
            severity = Severity.WARNING if is_bare else Severity.ERROR
            yield self._finding("unexpected-avatar", severity, part=kind)

    def with_avatar(self, embed: Embed) -> Iterator[Finding]:
        """What a chosen page must have, once."""
        elements = [tag for tag in self._elements if tag.name == embed.element]
        loaders = [tag for tag in self._scripts if embed.is_loader(_attributes(tag))]
        if embed.behaviour.needs_runtime or self._traits.is_instant:
            yield from self._with_runtime(elements, loaders, embed)
            return
        for name, tags in (("element", elements), ("loader", loaders)):
            if not tags:
                yield self._finding(f"{name}-missing")
            elif len(tags) > 1:
                count = len(tags)
                yield self._finding(f"{name}-repeated", count=count, element=embed.element)
        for tag in self._others(embed):
            yield self._finding("other-component", element=tag.name, component=embed.component)
        for tag in (*elements, *loaders):
            yield from self._repeated(tag)
        if elements:
            yield from self._attributes(_attributes(elements[0]), embed)
        if loaders:
            yield from self._loader(loaders[0], embed)

    def _with_runtime(
        self, elements: list[Tag], loaders: list[Tag], embed: Embed
    ) -> Iterator[Finding]:
        """The same where the browser runtime makes the element."""
        cores = [tag for tag in self._scripts if is_core(tag)]
        yield from runtime_findings(
            self._path, self._metas, cores, embed, takes_keys=self._traits.takes_keys
        )
        for tag in elements:
            yield self._finding("element-beside-runtime", element=tag.name)
        for tag in loaders if embed.behaviour.waits else ():
            yield self._finding("loader-early", url=_source(tag))
        for tag in cores:
            if not self._is_there(_source(tag)):
                yield self._finding("runtime-file-missing", url=_source(tag))
        for meta in self._metas[:1]:
            attributes = read_settings(meta).get("attributes")
            yield from self._attributes(attributes if isinstance(attributes, dict) else {}, embed)

    def _others(self, embed: Embed) -> list[Tag]:
        """Elements of the other component, and loaders that define one."""
        elements = [tag for tag in self._elements if tag.name != embed.element]
        others = {
            place for place, name in _LOADERS.items() if name != embed.component
        } - embed.loaders
        return elements + [tag for tag in self._scripts if address(_source(tag)) in others]

    def _repeated(self, tag: Tag) -> Iterator[Finding]:
        names = list(tag.attrs.get(_REPEATED, []))
        spelt = list(map(credential, tag.attrs))
        names += [name for name in ("avatar_id", "token_endpoint") if spelt.count(name) > 1]
        for name in names:
            yield self._finding("attribute-repeated", element=tag.name, attribute=name)

    def _attributes(self, found: Mapping[str, str], embed: Embed) -> Iterator[Finding]:
        spelt = {credential(name): value for name, value in found.items()}
        if find_api_key({k: v for k, v in found.items() if v != embed.public_key}):
            yield self._finding("key-on-element", element=embed.element)
        for name, wanted in embed.attributes.items():
            value = spelt.get(credential(name))
            if value is None:
                yield self._finding("attribute-missing", element=embed.element, attribute=name)
            elif value != wanted:
                yield self._finding("attribute-differs", element=embed.element, attribute=name)
        for name in ADDRESSES:
            if name in found and not self._is_there(found[name]):
                yield self._finding("address-broken", attribute=name)

    def _loader(self, loader: Tag, embed: Embed) -> Iterator[Finding]:
        found = _attributes(loader)
        for name, value in embed.loader.attributes().items():
            if name != "src" and found.get(name) != value:
                yield self._finding("loader-differs", attribute=name)
        if found["src"].strip().lower().startswith("http://") and embed.loader.url.startswith(
            "https://"
        ):
            yield self._finding("loader-insecure")

    def _is_there(self, target: str) -> bool:
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


def _note_repeated(attributes: dict[str, Any], name: str, _: object) -> None:
    attributes.setdefault(_REPEATED, []).append(name)


def _attributes(tag: Tag) -> dict[str, str]:
    return {name: str(value) for name, value in tag.attrs.items() if name != _REPEATED}


def _is_real(tag: Tag) -> bool:
    return tag.find_parent(_QUOTING) is None


def _source(tag: Tag) -> str:
    return str(tag.get("src") or "").strip()
