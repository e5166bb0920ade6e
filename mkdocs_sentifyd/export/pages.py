"""Choose the pages of a built site that are exported, and read them."""

from __future__ import annotations

from mkdocs_sentifyd.api_keys import find_named_key, secret_keys
from mkdocs_sentifyd.export.content import content_of, one_line
from mkdocs_sentifyd.export.documents import Page, page_text
from mkdocs_sentifyd.export.markdown import blocks
from mkdocs_sentifyd.export.questions import sections
from mkdocs_sentifyd.site.config_file import SiteConfig, SiteError
from mkdocs_sentifyd.site.pages import TEMPLATES, is_page
from mkdocs_sentifyd.site.record import Record, is_listed

__all__ = ["KEY", "PageReader"]

# Why a page is left out.
NO_AVATAR = "no avatar"
NOT_PUBLIC = "encrypted, noindex or outside of the navigation"
TEMPLATE = "a page of the theme"
EMPTY = "no text"
TOO_DEEP = "too many elements inside of each other"
KEY = "what looks like an API key"


class PageReader:
    """Reads the pages that have an avatar and may be public.

    Args:
        config: the configuration that `read_config` returns.
        record: the record of the build.

    Raises:
        SiteError: the name or the description of the site has an API key.
    """

    def __init__(self, config: SiteConfig, record: Record) -> None:
        self._record = record
        self._root = config.site_url.rstrip("/") + "/"
        self._site_name = one_line(config.site_name)
        self._site_description = one_line(config.site_description)
        self._keys = secret_keys()
        self._public_key = (config.options and config.options.public_api_key) or ""
        if self._has_key(f"{config.site_name}\n{config.site_description}"):
            raise SiteError(f"site_name or site_description has {KEY}: remove it from mkdocs.yml")

    def read(self, path: str, html: str) -> Page | str | None:
        """Read a page.

        Args:
            path: path of the page below the site's folder, with `/` as separator.
            html: text of the page.

        Returns:
            The page, or why it is left out, or `None` if it is no page of the build.
        """
        if path not in self._record or not is_page(html):
            return None
        if path.rpartition("/")[2] in TEMPLATES:
            return TEMPLATE
        if self._record.settings(path) is None:
            return NO_AVATAR
        url = self._record.url(path)
        if url is None or not is_listed(html):
            return NOT_PUBLIC
        try:
            return self._content(path, url, html)
        except RecursionError:
            return TOO_DEEP

    def _content(self, path: str, url: str, html: str) -> Page | str:
        content = content_of(html)
        plain = content.main.get_text()
        title = content.title.removesuffix(f" - {self._site_name}") or url
        found = list(sections(content))
        # The first heading becomes the title; others of its level move down.
        for heading in content.main.find_all("h1"):
            if heading is content.heading:
                heading.extract()
            else:
                heading.name = "h2"
        absolute = self._root + url
        text, is_cut = page_text(title, absolute, blocks(content.main, absolute))
        description = content.description
        if self._has_key(f"{plain}\n{description}\n{text}"):
            return KEY
        if not plain.strip():
            return EMPTY
        if description == self._site_description:
            description = ""
        return Page(path, url, absolute, title, description, text, is_cut, found)

    def masked(self, path: str) -> str:
        """Return a path without the keys in it."""
        for key in self._keys:
            path = path.replace(key, "***")
        return path

    def _has_key(self, text: str) -> bool:
        return any(key in text for key in self._keys) or find_named_key(text, self._public_key)
