"""The MkDocs events; each calls the module that does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import BasePlugin, event_priority, get_plugin_logger

from mkdocs_sentifyd.config import SentifydConfig
from mkdocs_sentifyd.embed import Embed, build_embed
from mkdocs_sentifyd.inject import inject
from mkdocs_sentifyd.selection import FrontMatterError, is_selected

if TYPE_CHECKING:
    from mkdocs.structure.pages import Page

__all__ = ["SentifydPlugin"]

log = get_plugin_logger("sentifyd")

# After the plugins that rewrite whole pages: what they never saw they cannot spoil.
LATE = -100


class SentifydPlugin(BasePlugin[SentifydConfig]):
    """Puts a Sentifyd avatar on the chosen pages."""

    _embed: Embed
    _count: int

    def on_config(self, config: MkDocsConfig) -> None:  # noqa: ARG002 - the event's signature
        """Render the tags once for all pages."""
        self._embed = build_embed(self.config)

    def on_pre_build(self, *, config: MkDocsConfig) -> None:  # noqa: ARG002
        """Begin to count."""
        self._count = 0

    @event_priority(LATE)
    def on_post_template(
        self, output_content: str, *, template_name: str, config: MkDocsConfig
    ) -> str:
        """Give 404.html and its like an avatar."""
        is_page = template_name in config.theme.static_templates and template_name.endswith(".html")
        if not (is_page and self.config.not_found_page):
            return output_content
        return self._inject(output_content, template_name)

    @event_priority(LATE)
    def on_post_page(self, output: str, *, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG002
        """Give a chosen page its avatar."""
        source = page.file.src_uri
        try:
            selected = is_selected([source], page.meta, self.config)
        except FrontMatterError as error:
            log.warning("%s: %s", source, error)
            return output
        return self._inject(output, source) if selected else output

    def on_post_build(self, *, config: MkDocsConfig) -> None:  # noqa: ARG002
        """Say how many pages have an avatar: none at all is a mistake that nothing else shows."""
        log.info("%d pages have an avatar", self._count)

    def _inject(self, html: str, name: str) -> str:
        # MkDocs skips a page without text, and has to go on doing so.
        if not html or html.isspace():
            return html
        page = inject(html, self._embed)
        for advice in page.advice:
            log.warning("%s: %s", name, advice)
        self._count += 1
        return page.html
