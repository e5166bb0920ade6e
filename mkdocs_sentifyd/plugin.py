"""The MkDocs plugin: its event handlers call the modules that do the work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import BasePlugin, CombinedEvent, event_priority, get_plugin_logger
from mkdocs.utils import is_error_template, is_markdown_file

from mkdocs_sentifyd.api_keys import secret_keys
from mkdocs_sentifyd.markup.insert import inject, inject_runtime
from mkdocs_sentifyd.markup.placed import ENCRYPTED, without_elements
from mkdocs_sentifyd.material_consent import missing_consent, register_consent
from mkdocs_sentifyd.options.schema import SentifydConfig
from mkdocs_sentifyd.site.config_file import SiteError
from mkdocs_sentifyd.site.front_matter import (
    FRONT_MATTER_KEY,
    PageError,
    problem_of_front_matter,
    problem_of_notebook,
)
from mkdocs_sentifyd.site.notes import notes
from mkdocs_sentifyd.site.pages import count_of_pages, is_page
from mkdocs_sentifyd.site.record import Record, configuration_of, is_listed
from mkdocs_sentifyd.site.selection import Selection
from mkdocs_sentifyd.tags.assets import install

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment
    from mkdocs.structure.files import Files
    from mkdocs.structure.nav import Navigation
    from mkdocs.structure.pages import Page

    from mkdocs_sentifyd.preview import Preview
    from mkdocs_sentifyd.tags.embed import Avatar

__all__ = ["SentifydPlugin"]

log = get_plugin_logger("sentifyd")

# Priorities of event handlers; MkDocs calls the highest first.
EARLY = 100
# Material's meta plugin has 50, and no other plugin comes between it and this.
AFTER_META = 49
# After the plugins that rewrite whole pages, so that they cannot change our tags.
LATE = -100
# After the plugins that write more files at the end, or build further languages.
LAST = -1000


class SentifydPlugin(BasePlugin[SentifydConfig]):
    """Put a Sentifyd avatar on the chosen pages."""

    _selection: Selection
    _language: str
    _paths: set[str]
    _with_avatar: set[tuple[str, str]]
    _site_dir: str
    _record: Record
    _listed: set[str]
    _page_values: dict[str, object]
    _folder_values: dict[str, object]
    _unreadable: dict[str, str]
    _encrypted: dict[str, str]
    _has_scripts: bool
    _build_depth = 0
    _is_serving = False
    _is_dirty = False
    _is_offline = False
    _has_logged_live = False
    _preview: Preview | None = None

    def on_startup(self, *, command: str, dirty: bool) -> None:
        """Remember whether the command is `mkdocs serve`, and whether it keeps unchanged pages."""
        # MkDocs may use one plugin object for several commands in a process.
        self.on_shutdown()
        self._is_serving, self._has_logged_live = command == "serve", False
        self._is_dirty = dirty

    def on_config(self, config: MkDocsConfig) -> None:
        """Read the options; with several languages, MkDocs calls this once per language."""
        if self._is_serving:
            self._prepare_preview(config)
        offline = config.plugins.get("material/offline")
        # Browsers let no page from a file use an avatar.
        self._is_offline = bool(offline and offline.config.enabled) and not self._is_serving
        self._selection = Selection(self.config, self._preview)
        if name := self.config.consent:
            hint = register_consent(config, name)
            # The launcher asks visitors who have not found the form.
            if not self.config.behaviour.asks:
                if hint:
                    log.info("%s", hint)
                if not self._build_depth and (problem := missing_consent(config, name)):
                    log.warning("%s", problem)

    def on_pre_build(self, *, config: MkDocsConfig) -> None:  # noqa: ARG002
        """Reset the counters, except for the nested build of another language."""
        if not self._build_depth:
            self._with_avatar, self._paths, self._has_scripts = set(), set(), False
            self._record, self._listed = Record(configuration_of(self.config), "mkdocs"), set()
        self._page_values, self._folder_values, self._unreadable = {}, {}, {}
        self._encrypted = {}
        self._build_depth += 1

    def on_nav(self, nav: Navigation, *, config: MkDocsConfig, files: Files) -> None:  # noqa: ARG002
        """Remember the pages that visitors find in the navigation."""
        self._listed.update(page.file.dest_uri for page in nav.pages)

    @event_priority(LATE)
    def on_env(self, env: Environment, *, config: MkDocsConfig, files: Files) -> None:  # noqa: ARG002
        """Read the language and the pages, which are known only now."""
        self._site_dir = config.site_dir
        self._language = str(config.theme.get("language") or config.theme.get("locale") or "")
        self._paths.update(file.src_uri for file in files.documentation_pages())
        self._paths.update(config.theme.static_templates)

    @event_priority(EARLY)
    def _set_aside(self, /, markdown: str, *, page: Page, **_: object) -> None:
        """Hide the page's own `sentifyd` value from Material's meta plugin.

        That plugin cannot merge a mapping of the folder with `false` of the page.
        """
        if problem := _problem_of_source(markdown, page):
            self._unreadable[page.file.src_uri] = problem
        if FRONT_MATTER_KEY in page.meta:
            self._page_values[page.file.src_uri] = page.meta.pop(FRONT_MATTER_KEY)

    @event_priority(AFTER_META)
    def _put_back(self, /, markdown: str, *, page: Page, **_: object) -> None:  # noqa: ARG002
        """Restore the page's value, and keep the folder's value to merge them later."""
        source = page.file.src_uri
        if source in self._page_values:
            self._folder_values[source] = page.meta.get(FRONT_MATTER_KEY)
            page.meta[FRONT_MATTER_KEY] = self._page_values.pop(source)

    on_page_markdown = CombinedEvent(_set_aside, _put_back)

    @event_priority(EARLY)
    def on_page_content(self, html: str, *, page: Page, **_: object) -> str:
        """Take the author's element out of a text that mkdocs-encryptcontent-plugin encrypts.

        After decryption it would be a second element, without attributes.
        """
        if not hasattr(page, "encryptcontent"):
            return html
        text, name = without_elements(html)
        if name:
            self._encrypted[page.file.src_uri] = name
        return text

    @event_priority(LATE)
    def on_post_template(
        self, output_content: str, *, template_name: str, config: MkDocsConfig
    ) -> str:
        """Put the avatar on 404.html and other static templates."""
        if template_name not in config.theme.static_templates:
            return output_content
        # Some themes have fragments among their static templates.
        if not is_page(output_content):
            return output_content
        try:
            avatar = self._selection.template(template_name)
        except PageError as error:
            log.warning("%s: %s", template_name, error)
            return output_content
        root = "../" * template_name.count("/")
        if is_error_template(template_name):
            # A server shows it at any URL, so its links must begin at the root of the host.
            # mike sets `site_url` without a final slash.
            root = urlsplit(config.site_url or "").path.rstrip("/") + "/"
        self._listed.add(template_name)
        return self._inject(output_content, template_name, template_name, avatar, root)

    @event_priority(LATE)
    def on_post_page(self, output: str, *, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG002
        """Put the avatar on a chosen page."""
        source = page.file.src_uri
        # Themes also make redirects, fragments and JSON of pages.
        if not is_page(output):
            return output
        try:
            if source in self._unreadable:
                raise PageError(self._unreadable[source])
            values = [self._folder_values.get(source), page.meta.get(FRONT_MATTER_KEY)]
            avatar = self._selection.page([source], values)
        except PageError as error:
            log.warning("%s: %s", source, error)
            return output
        if avatar and source in self._encrypted:
            log.warning("%s: %s", source, ENCRYPTED.format(self._encrypted[source]))
        root = "../" * page.url.count("/")
        return self._inject(output, source, page.file.dest_uri, avatar, root)

    @event_priority(LAST)
    def on_post_build(self, *, config: MkDocsConfig) -> None:
        """Report on the whole site, copy the runtime, and search for the API key."""
        self._build_depth -= 1
        if self._build_depth:
            return
        for line in self._unused(Path(config.docs_dir)):
            log.warning("%s", line)
        if self._is_offline:
            log.info("no page has an avatar, because the offline plugin builds for file://")
        else:
            for note in notes(self.config, Path(config.site_dir)):
                log.info("%s", note)
            number = len(self._with_avatar)
            log.info("%s %s an avatar", count_of_pages(number), "has" if number == 1 else "have")
            self._install(Path(config.site_dir))
        if keys := secret_keys():
            self._refuse_leaks(Path(config.site_dir), keys)

    def _install(self, site_dir: Path) -> None:
        try:
            if self._is_dirty and (older := self._record.keep(Record.read(site_dir))):
                log.warning(
                    "%s %s the options of an earlier build: build without --dirty",
                    count_of_pages(older),
                    "has" if older == 1 else "have",
                )
            self._record.write(site_dir)
            if self._with_avatar or self._has_scripts:
                install(site_dir, with_scripts=self._has_scripts)
        except SiteError as error:
            raise PluginError(str(error)) from None
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
                f"the API key is in {', '.join(leaks)}, and every reader would get it: remove it "
                "from the sources before you publish the site"
            )

    def on_build_error(self, *, error: Exception) -> None:  # noqa: ARG002
        """Reset after a failed build, because `mkdocs serve` continues with the next one."""
        self._build_depth = 0

    def on_shutdown(self) -> None:
        """Stop the preview."""
        if self._preview:
            self._preview.stop()
            self._preview = None

    def _prepare_preview(self, config: MkDocsConfig) -> None:
        from mkdocs_sentifyd.preview import Preview, PreviewError, local_origins

        origins = local_origins(config.dev_addr)
        if self.config.preview != "sandbox":
            if self.config.preview == "live" and not self._has_logged_live:
                log.info(
                    "preview: the avatar is live, and its token service must allow %s; to preview "
                    "without an account, set preview: sandbox",
                    " and ".join(origins),
                )
            self._has_logged_live = True
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
        """Return warnings about patterns that match no page, built or left out of this build."""
        if not list(self._selection.unused(self._paths)):
            return []
        files = (file for file in docs_dir.rglob("*") if is_markdown_file(file.name))
        sources = (file.relative_to(docs_dir).as_posix() for file in files)
        return list(self._selection.unused(self._paths.union(sources), docs_dir.name))

    def _inject(self, html: str, name: str, path: str, avatar: Avatar | None, root: str) -> str:
        if self._is_offline or (self._is_serving and self.config.preview == "off"):
            return html
        listed = path in self._listed and is_listed(html)
        if avatar is None:
            self._record.add(path, None, listed=listed)
            page = inject_runtime(html, root)
            self._has_scripts |= page.has_scripts
            return page.html
        page = inject(html, avatar.embed(self._language, root))
        for warning in page.warnings:
            log.warning("%s: %s", name, warning)
        if page.settings is not None:
            self._record.add(path, page.settings, listed=listed)
        # The builds of several languages write 404.html several times.
        self._with_avatar.add((self._site_dir, path))
        self._has_scripts |= page.has_scripts
        return page.html


def _problem_of_source(markdown: str, page: Page) -> str | None:
    """Return why the options in a page's source are not read as they are written, or `None`."""
    # Most pages are not read again.
    if FRONT_MATTER_KEY not in f"{' '.join(map(str, page.meta))} {markdown}".lower():
        return None
    text = page.file.content_string
    if page.file.src_uri.endswith(".ipynb"):
        return problem_of_notebook(text) if FRONT_MATTER_KEY not in page.meta else None
    return problem_of_front_matter(text, page.meta)
