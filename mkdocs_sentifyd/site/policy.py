"""The Content-Security-Policy of a site (W3C, Content Security Policy Level 3)."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from mkdocs_sentifyd.components import ATTRIBUTES, COMPONENTS, canonical_name
from mkdocs_sentifyd.markup.tokenizer import tags
from mkdocs_sentifyd.site.config_file import SiteConfig, SiteError
from mkdocs_sentifyd.site.front_matter import PageError
from mkdocs_sentifyd.site.pages import BuiltSite, is_page, page_files, read_file, require_site
from mkdocs_sentifyd.tags.embed import Embed

__all__ = ["policy"]

# What a site needs from itself.
_OWN = {
    "default-src": ("'none'",),
    "script-src": ("'self'",),
    "style-src": ("'self'",),
    # Written by components, by static tags, and by Markdown for tables with aligned columns.
    "style-src-attr": ("'unsafe-inline'",),
    "img-src": ("'self'", "data:"),
    "font-src": ("'self'",),
    "connect-src": ("'self'",),
    "base-uri": ("'self'",),
    "form-action": ("'self'",),
}
# Types of inline scripts that a policy can block (HTML Standard, "prepare the script element").
_BLOCKABLE = {"", "module", "importmap", "text/javascript", "application/javascript"}
# Other characters are not allowed in a source; some of them would end a directive or the header.
_HOST = re.compile(r"[a-z0-9._-]+")

_Need = tuple[str, str]
"""A directive, and a source for it."""


def policy(config: SiteConfig, site_dir: Path | None = None) -> str:
    """Return the policy that allows a site, its avatars, and nothing else.

    Args:
        config: the configuration that `read_config` returns.
        site_dir: folder of the built site. With it, the policy covers what the pages use, and has
            the hashes of their inline scripts. Without it, the policy covers everything that the
            configuration and the front matter of the sources name.

    Returns:
        The value of the header `Content-Security-Policy`. The same site always has the same value.

    Raises:
        SiteError: the folder is missing, front matter is invalid, or a policy cannot name a host.
        OSError: a file cannot be read.
    """
    sources = {name: set(own) for name, own in _OWN.items()}
    try:
        for directive, source in _needs(config, site_dir):
            sources[directive].add(source)
    except PageError as error:
        raise SiteError(str(error)) from None
    return "; ".join(f"{name} {' '.join(sorted(found))}" for name, found in sources.items())


def _needs(config: SiteConfig, site_dir: Path | None) -> Iterator[_Need]:
    site = BuiltSite(config, config.options) if config.options else None
    if site_dir is not None:
        require_site(site_dir)
        for path in page_files(site_dir):
            yield from _of_page(site, site_dir, path)
    elif site is not None:
        for embed in site.configured():
            yield from _of_avatar(embed)


def _of_page(site: BuiltSite | None, site_dir: Path, path: str) -> Iterator[_Need]:
    html = read_file(f"{site_dir}/{path}").decode("utf-8-sig", "replace")
    try:
        embed = site.embed(path, html) if site and is_page(html) else None
    except PageError as error:
        raise PageError(f"{path}: {error}") from None
    names = {"script"}
    if embed is not None:
        names.add(embed.element)
        yield from _of_avatar(embed)
    script = None
    for tag in tags(html, names):
        if tag.is_end:
            if script is not None and tag.name == "script":
                yield "script-src", _hash(html[script : tag.start])
            script = None
            continue
        attributes = tag.attributes()
        if tag.name in names - {"script"}:
            # An element that the author placed may have attributes of its own.
            yield from _of_attributes(attributes)
        elif "src" not in attributes:
            is_blockable = attributes.get("type", "").strip().lower() in _BLOCKABLE
            script = tag.end if is_blockable else None
        elif embed is not None and embed.loader.is_in(attributes):
            yield "script-src", _source(attributes["src"])


def _of_avatar(embed: Embed) -> Iterator[_Need]:
    yield "script-src", _source(embed.loader.url)
    for host in COMPONENTS[embed.component].hosts:
        for directive in host.directives:
            yield from ((directive, source) for source in host.sources)
    yield from _of_attributes(embed.attributes)


def _of_attributes(attributes: Mapping[str, str]) -> Iterator[_Need]:
    for name, value in attributes.items():
        if canonical_name(name) == "token_endpoint":
            yield "connect-src", _source(value)
        elif name == ATTRIBUTES["brand.logo"]:
            yield "img-src", _source(value)


def _source(url: str) -> str:
    """Return the source expression for a URL (section 2.3.1); relative URLs are the site's own."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except ValueError:
        raise SiteError(f"{url} is malformed: check host and port") from None
    if not host:
        return "'self'"
    if not _HOST.fullmatch(host):
        raise SiteError(f"{url}: a policy cannot name the host {host}: use a host name")
    is_default = port in (None, {"http": 80, "https": 443}.get(parts.scheme))
    return f"{parts.scheme}://{host}" + ("" if is_default else f":{port}")


def _hash(script: str) -> str:
    """Return the source expression for an inline script, as a browser reads it."""
    text = re.sub("\r\n?", "\n", script)
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
