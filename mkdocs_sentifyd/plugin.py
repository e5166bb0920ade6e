"""The MkDocs events; each calls the module that does the work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import BasePlugin, CombinedEvent, event_priority, get_plugin_logger
from mkdocs.utils import is_error_template, is_markdown_file

from mkdocs_sentifyd.api_keys import secret_keys
from mkdocs_sentifyd.markup.insert import inject, inject_script
from mkdocs_sentifyd.markup.tokenizer import is_whole_page
from mkdocs_sentifyd.material_consent import register_consent
from mkdocs_sentifyd.options.schema import SentifydConfig
from mkdocs_sentifyd.site.front_matter import LOST, PageError, is_lost
from mkdocs_sentifyd.site.selection import Selection
from mkdocs_sentifyd.tags.assets import install

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

    from mkdocs_sentifyd.preview import Preview
    from mkdocs_sentifyd.tags.embed import Avatar

__all__ = ["SentifydPlugin"]

log = get_plugin_logger("sentifyd")

OURS = "sentifyd"
EARLY = 100
# Of other plugins and hooks none comes between Material's, at 50, and this.
AFTER_META = 49
# After the plugins that rewrite whole pages: what they never saw they cannot spoil.
LATE = -100
# After those that write files when all else is done, or build the site in further languages.
LAST = -1000


class SentifydPlugin(BasePlugin[SentifydConfig]):
    """Puts a Sentifyd avatar on the chosen pages."""

    _selection: Selection
    _language: str
    _paths: set[str]
    _count: int
    _own: dict[str, object]
    _folders: dict[str, object]
    _lost: set[str]
    _has_scripts: bool
    _depth = 0
    _serves = False
    _is_told = False
    _preview: Preview | None = None

    def on_startup(self, *, command: str, dirty: bool) -> None:  # noqa: ARG002 - the event's signature
        """Note whether pages are for their author only."""
        # MkDocs keeps the plugin for all that it does in a process.
        self.on_shutdown()
        self._serves, self._is_told = command == "serve", False

    def on_config(self, config: MkDocsConfig) -> None:
        """Take the options as they are now; with several languages this comes once for each."""
        if self._serves:
            self._prepare_preview(config)
        self._selection = Selection(self.config, self._preview)
        if self.config.consent and (line := register_consent(config, self.config.consent)):
            log.info("%s", line)

    def on_pre_build(self, *, config: MkDocsConfig) -> None:  # noqa: ARG002
        """Begin to count; a build within a build, for another language, goes on counting."""
        if not self._depth:
            self._count, self._paths, self._has_scripts = 0, set(), False
        self._own, self._folders, self._lost = {}, {}, set()
        self._depth += 1

    @event_priority(LATE)
    def on_env(self, env: Environment, *, config: MkDocsConfig, files: Files) -> None:  # noqa: ARG002
        """Note what is known only now: the language, and which pages there are."""
        self._language = str(config.theme.get("language") or config.theme.get("locale") or "")
        self._paths.update(file.src_uri for file in files.documentation_pages())
        self._paths.update(config.theme.static_templates)

    @event_priority(EARLY)
    def _set_aside(self, /, markdown: str, *, page: Page, **_: object) -> None:
        """Take aside what the page says of itself: a folder's may be of another type.

        Material's meta plugin, which comes in between, cannot merge a mapping with `false`.
        """
        if OURS in page.meta:
            self._own[page.file.src_uri] = page.meta.pop(OURS)
        elif not page.meta and is_lost(markdown):
            self._lost.add(page.file.src_uri)

    @event_priority(AFTER_META)
    def _put_back(self, /, markdown: str, *, page: Page, **_: object) -> None:  # noqa: ARG002
        """Put it back, and keep what the folder says: the page's is laid over it."""
        source = page.file.src_uri
        if source in self._own:
            self._folders[source] = page.meta.get(OURS)
            page.meta[OURS] = self._own.pop(source)

    on_page_markdown = CombinedEvent(_set_aside, _put_back)

    @event_priority(LATE)
    def on_post_template(
        self, output_content: str, *, template_name: str, config: MkDocsConfig
    ) -> str:
        """Give 404.html and its like an avatar."""
        if template_name not in config.theme.static_templates:
            return output_content
        # Some themes keep fragments among them.
        if not is_whole_page(output_content):
            return output_content
        try:
            avatar = self._selection.template(template_name)
        except PageError as error:
            log.warning("%s: %s", template_name, error)
            return output_content
        root = "../" * template_name.count("/")
        if is_error_template(template_name):
            # It is shown at any address, so MkDocs writes its links from the root of the host.
            root = urlsplit(config.site_url or "/").path
        return self._inject(output_content, template_name, avatar, root)

    @event_priority(LATE)
    def on_post_page(self, output: str, *, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG002
        """Give a chosen page its avatar."""
        source = page.file.src_uri
        try:
            if source in self._lost:
                raise PageError(LOST.format("YAML"))
            fronts = [self._folders.get(source), page.meta.get(OURS)]
            avatar = self._selection.page([source], fronts)
        except PageError as error:
            log.warning("%s: %s", source, error)
            return output
        return self._inject(output, source, avatar, "../" * page.url.count("/"))

    @event_priority(LAST)
    def on_post_build(self, *, config: MkDocsConfig) -> None:
        """Say what became of the site as a whole."""
        self._depth -= 1
        if self._depth:
            return
        for line in self._unused(Path(config.docs_dir)):
            log.warning("%s", line)
        log.info("%d pages have an avatar", self._count)
        if self._count or self._has_scripts:
            self._install(Path(config.site_dir))
        if keys := secret_keys():
            self._refuse_leaks(Path(config.site_dir), keys)

    def _install(self, site_dir: Path) -> None:
        try:
            install(site_dir, with_scripts=self._has_scripts)
        except OSError as error:
            raise PluginError(f"{error.filename} cannot be written: {error.strerror}") from None

    def _refuse_leaks(self, site_dir: Path, keys: Sequence[str]) -> None:
        from mkdocs_sentifyd.site.leaks import leaking_files

        try:
            leaks = leaking_files(site_dir, keys)
        except OSError as error:
            raise PluginError(
                f"{error.filename} cannot be searched for the API key: {error.strerror}"
            ) from None
        if leaks:
            raise PluginError(
                f"the API key is in {', '.join(leaks)}, and every reader would get it: take it "
                "out of the sources, and publish the site only then"
            )

    def on_build_error(self, *, error: Exception) -> None:  # noqa: ARG002
        """Forget a build that came to nothing; `mkdocs serve` goes on to the next."""
        self._depth = 0

    def on_shutdown(self) -> None:
        """Stop what the preview started."""
        if self._preview:
            self._preview.stop()
            self._preview = None

    def _prepare_preview(self, config: MkDocsConfig) -> None:
        from mkdocs_sentifyd.preview import Preview, PreviewError, local_origins

        origins = local_origins(config.dev_addr)
        if self.config.preview != "sandbox":
            if self.config.preview == "live" and not self._is_told:
                log.info(
                    "preview: the avatar is live, and its token service must allow %s; a stand-in "
                    "needs no account: preview: sandbox",
                    " and ".join(origins),
                )
            self._is_told = True
            self.on_shutdown()
        elif self._preview is None or not self._preview.is_running:
            self.on_shutdown()
            try:
                self._preview = Preview.start(origins)
            except PreviewError as error:
                raise PluginError(str(error)) from None
            log.info(
                "preview: the avatar is a sandbox, not Sentifyd; its tokens come from %s",
                self._preview.token_endpoint,
            )

    def _unused(self, docs_dir: Path) -> list[str]:
        """Patterns for pages that are not there, and not only left out of this build."""
        if not list(self._selection.unused(self._paths)):
            return []
        files = (file for file in docs_dir.rglob("*") if is_markdown_file(file.name))
        sources = (file.relative_to(docs_dir).as_posix() for file in files)
        return list(self._selection.unused(self._paths.union(sources)))

    def _inject(self, html: str, name: str, avatar: Avatar | None, root: str) -> str:
        # MkDocs skips a page without text, and has to go on doing so.
        if not html or html.isspace() or (self._serves and self.config.preview == "off"):
            return html
        if avatar is None:
            after = inject_script(html, root)
            self._has_scripts |= after != html
            return after
        page = inject(html, avatar.embed(self._language, root))
        for advice in page.advice:
            log.warning("%s: %s", name, advice)
        self._count += 1
        self._has_scripts |= page.has_scripts
        return page.html
