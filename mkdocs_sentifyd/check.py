"""Checking a built site: every page parsed, every file searched for the key.

It reads pages with BeautifulSoup and not as `inject` does, so that one finds the other's mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from bs4 import BeautifulSoup, Tag

from mkdocs_sentifyd.built_site import BuiltSite, is_page, page_files, read_file
from mkdocs_sentifyd.components import COMPONENTS
from mkdocs_sentifyd.embed import Embed, address
from mkdocs_sentifyd.findings import Finding, Severity
from mkdocs_sentifyd.keys import find_api_key, find_named_key
from mkdocs_sentifyd.leaks import leaking_files, site_files
from mkdocs_sentifyd.selection import FrontMatterError
from mkdocs_sentifyd.site_config import SiteConfig, SiteError
from mkdocs_sentifyd.static_site import Progress

__all__ = ["SiteCheck", "check_site"]

# Nothing in there is part of the page, whatever this parser makes of it.
_QUOTING = ["iframe", "noembed", "noframes", "noscript", "plaintext", "template", "textarea"]
_QUOTING += ["title", "xmp"]
_ELEMENTS = {component.element: name for name, component in COMPONENTS.items()}
_LOADERS = {
    address(url): name
    for name, component in COMPONENTS.items()
    for url in (component.loader, *component.other_loaders)
}
_REPEATED = "repeated attributes"
_CREDENTIALS = {"token_endpoint", "token-endpoint", "api-key"}
_ADDRESSES = ("brand-logo", "terms-href", "privacy-href")
_REBUILD = "build the site again, or run `mkdocs-sentifyd inject` on a fresh build of it"
MAX_TEXT_SIZE = 16 << 20


@dataclass(slots=True)
class SiteCheck:
    """What was looked at, and what was found.

    Attributes:
        pages: how many pages there are.
        avatars: how many of them ought to carry an avatar.
        findings: what to mend.
    """

    pages: int = 0
    avatars: int = 0
    findings: list[Finding] = field(default_factory=list)


def check_site(
    site_dir: Path,
    config: SiteConfig,
    keys: Sequence[str],
    progress: Progress = lambda *_: None,
) -> SiteCheck:
    """Compare a built site with what its configuration says.

    Args:
        site_dir: folder of the built site.
        config: what mkdocs.yml says.
        keys: API keys that must not be anywhere in the site.
        progress: told from time to time.

    Raises:
        SiteError: the folder or a file that holds front matter cannot be read.
    """
    if not site_dir.is_dir():
        raise SiteError(f"{site_dir} is not a folder: build the site first")
    result = SiteCheck()
    site = BuiltSite(config, config.options) if config.options is not None else None
    files = page_files(site_dir)
    for number, path in enumerate(files):
        progress(number, len(files))
        html = read_file(f"{site_dir}/{path}").decode("utf-8", "replace")
        if not is_page(html):
            continue
        result.pages += 1
        page = _Page(site_dir, path, html)
        try:
            embed = site.embed(path, html) if site else None
        except FrontMatterError as error:
            result.findings.append(
                Finding("front-matter", path, str(error), "mend the front matter of its source")
            )
            continue
        result.avatars += embed is not None
        result.findings += page.without_avatar() if embed is None else page.with_avatar(embed)
    if site:
        result.findings += [
            Finding(
                "pattern-unused",
                "mkdocs.yml",
                line,
                "correct the pattern, or take it out",
                Severity.WARNING,
            )
            for line in site.unused(site.take_paths())
        ]
    if config.options is not None and not result.avatars:
        result.findings.append(
            Finding(
                "no-avatar",
                str(site_dir),
                "no page of the site is to have an avatar",
                "see what include and exclude leave over",
            )
        )
    result.findings += _keys(site_dir, keys, config)
    return result


class _Page:
    def __init__(self, site_dir: Path, path: str, html: str) -> None:
        self._site_dir = site_dir
        self._path = path
        soup = BeautifulSoup(html, "html.parser", on_duplicate_attribute=_note_repeated)
        self._elements = [tag for tag in soup.find_all(list(_ELEMENTS)) if _is_real(tag)]
        self._scripts = [tag for tag in soup.find_all("script", src=True) if _is_real(tag)]

    def without_avatar(self) -> Iterator[Finding]:
        """What an unchosen page must not have."""
        loaders = [tag for tag in self._scripts if address(_source(tag)) in _LOADERS]
        for tag in (*self._elements, *loaders):
            kind = "the loader" if tag.name == "script" else f"a <{tag.name}>"
            # An author's own tag alone gets nobody anywhere: it has no way in, and no script.
            is_bare = not loaders and not _CREDENTIALS & tag.attrs.keys()
            yield self._finding(
                "unexpected-avatar",
                f"has {kind}, although the configuration keeps avatars off this page",
                f"{_REBUILD}; or change exclude or the page's front matter",
                Severity.WARNING if is_bare else Severity.ERROR,
            )

    def with_avatar(self, embed: Embed) -> Iterator[Finding]:
        """What a chosen page must have, once."""
        elements = [tag for tag in self._elements if tag.name == embed.element]
        loaders = [tag for tag in self._scripts if embed.is_loader(_source(tag))]
        for name, tags, cure in (
            ("element", elements, f"keep one <{embed.element}>"),
            ("loader", loaders, "keep one script tag, or leave it to the plugin"),
        ):
            if not tags:
                yield self._finding(f"{name}-missing", f"has no {name} of an avatar", _REBUILD)
            elif len(tags) > 1:
                yield self._finding(f"{name}-repeated", f"has the {name} {len(tags)} times", cure)
        for tag in self._others(embed):
            yield self._finding(
                "other-component",
                f"has a <{tag.name}> of the other component beside what {embed.component} needs",
                "keep one component on a page: take the tag out, or set the option component",
            )
        for tag in (*elements, *loaders):
            yield from self._repeated(tag)
        if elements:
            yield from self._attributes(elements[0], embed)

    def _others(self, embed: Embed) -> list[Tag]:
        """Elements of the other component, and loaders that define one."""
        elements = [tag for tag in self._elements if tag.name != embed.element]
        others = {
            place for place, name in _LOADERS.items() if name != embed.component
        } - embed.loaders
        return elements + [tag for tag in self._scripts if address(_source(tag)) in others]

    def _repeated(self, tag: Tag) -> Iterator[Finding]:
        names = list(tag.attrs.get(_REPEATED, []))
        spelt = [name.replace("-", "_") for name in tag.attrs]
        names += [name for name in ("avatar_id", "token_endpoint") if spelt.count(name) > 1]
        for name in names:
            yield self._finding(
                "attribute-repeated",
                f"its <{tag.name}> has {name} more than once, and a browser ignores the second",
                "keep one of them",
            )

    def _attributes(self, element: Tag, embed: Embed) -> Iterator[Finding]:
        found = {name: str(value) for name, value in element.attrs.items() if name != _REPEATED}
        spelt = {name.replace("-", "_"): value for name, value in found.items()}
        if find_api_key({k: v for k, v in found.items() if v != embed.public_key}):
            yield self._finding(
                "key-on-element",
                f"its <{element.name}> carries what looks like the API key",
                "take it out, and give the key to the token service as AVATAR_API_KEY",
            )
        for name, wanted in embed.values:
            value = spelt.get(name.replace("-", "_"))
            if value is None:
                yield self._finding(
                    "attribute-missing", f"its <{element.name}> has no {name}", _REBUILD
                )
            elif value != wanted:
                yield self._finding(
                    "attribute-differs",
                    f"its <{element.name}> has another {name} than the configuration",
                    f"{_REBUILD}, unless the page's author wants it so",
                    Severity.WARNING,
                )
        for name in _ADDRESSES:
            if name in found and not self._is_there(found[name]):
                yield self._finding(
                    "address-broken",
                    f"its {name} leads to nothing in the site",
                    "write the path from the root of the site, as readers see it",
                )

    def _is_there(self, target: str) -> bool:
        parts = urlsplit(target)
        if parts.scheme or parts.netloc or target.startswith("/"):
            return True
        file = self._site_dir / unquote(urlsplit(urljoin(f"/{self._path}", target)).path)[1:]
        return file.is_file() or (file / "index.html").is_file()

    def _finding(
        self, code: str, what: str, cure: str, severity: Severity = Severity.ERROR
    ) -> Finding:
        return Finding(code, self._path, what, cure, severity)


def _note_repeated(attributes: dict[str, Any], name: str, _: object) -> None:
    attributes.setdefault(_REPEATED, []).append(name)


def _is_real(tag: Tag) -> bool:
    return tag.find_parent(_QUOTING) is None


def _source(tag: Tag) -> str:
    return str(tag.get("src") or "").strip()


def _keys(site_dir: Path, keys: Sequence[str], config: SiteConfig) -> Iterator[Finding]:
    found = leaking_files(site_dir, keys)
    for path in found:
        yield Finding(
            "key-in-site",
            path,
            "holds the API key, and every reader gets it",
            "take it out of the sources, build again, and have Sentifyd replace the key",
        )
    public = (config.options.public_api_key if config.options else None) or ""
    if public:
        yield Finding(
            "public-key",
            "mkdocs.yml",
            "public_api_key gives every reader of the site a key",
            "run a token service, and use token_endpoint in its place",
            Severity.WARNING,
        )
    for file in site_files(site_dir):
        path = PurePosixPath(file.relative_to(site_dir)).as_posix()
        if path not in found and find_named_key(_text(file), public):
            yield Finding(
                "key-like",
                path,
                "names an API key of Sentifyd, with a value that looks like a real one",
                "write a placeholder such as YOUR-API-KEY; if it is real, have it replaced",
            )


def _text(file: Path) -> str:
    """What a file says, without the tags that highlighting puts between name and value."""
    with file.open("rb") as stream:
        content = stream.read(MAX_TEXT_SIZE)
    if b"\0" in content[:1024]:
        return ""
    text = content.decode("utf-8", "replace")
    return re.sub(r"</?(?:span|code|a|b|i|em|strong)\b[^>]*>", "", text)
