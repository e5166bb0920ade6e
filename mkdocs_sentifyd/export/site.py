"""Export a built site: make the texts of all files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mkdocs_sentifyd.export.content import one_line
from mkdocs_sentifyd.export.documents import MAX_PAGE, Page, documents, full_text, index_text
from mkdocs_sentifyd.export.order import grouped
from mkdocs_sentifyd.export.pages import PageReader
from mkdocs_sentifyd.export.questions import choose, to_csv
from mkdocs_sentifyd.site.config_file import SiteConfig, SiteError
from mkdocs_sentifyd.site.pages import Progress, page_files, read_file, require_site
from mkdocs_sentifyd.site.record import FILE, Record, configuration_of

__all__ = ["Export", "export_site"]


@dataclass(slots=True)
class Export:
    """The result of `export_site`.

    Attributes:
        pages: number of exported pages.
        files: the text of each file, by its name.
        left_out: why pages are left out, by their paths.
        cut: what did not fit into a file, one line each.
        warnings: problems that authors should fix, one line each.
    """

    pages: int = 0
    files: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def export_site(site_dir: Path, config: SiteConfig, progress: Progress = lambda *_: None) -> Export:
    """Make documents of the pages that have an avatar and may be public. It writes nothing.

    The same site gives the same texts.

    Args:
        site_dir: folder of the built site.
        config: the configuration that `read_config` returns.
        progress: called before each page.

    Raises:
        SiteError: the site has no record, no URL or no page to export.
        OSError: a file cannot be read.
    """
    record = _record(site_dir, config)
    export = Export(warnings=list(config.warnings))
    if config.options and record.configuration != configuration_of(config.options):
        export.warnings.append("the site was built with another configuration: build it again")
    reader = PageReader(config, record)
    files = page_files(site_dir)
    found: dict[str, Page] = {}
    home = ""
    for number, path in enumerate(files):
        progress(number, len(files))
        html = read_file(f"{site_dir}/{path}").decode("utf-8", "replace")
        home = html if path == "index.html" else home
        page = reader.read(path, html)
        if isinstance(page, Page):
            found[page.url] = page
        elif page:
            export.left_out[reader.masked(path)] = page
    if not found:
        raise SiteError(
            "no page to export: none has an avatar, is public and has text; see include, exclude "
            "and front matter"
        )
    groups = grouped(found, home)
    _add_files(export, config, [found[url] for url in groups], groups)
    return export


def _record(site_dir: Path, config: SiteConfig) -> Record:
    require_site(site_dir)
    record = Record.read(site_dir)
    if record is None:
        raise SiteError(
            f"{site_dir} has no {FILE}, which says which pages have an avatar: build the site with "
            "the plugin, or run mkdocs-sentifyd inject"
        )
    if not config.site_url.startswith(("https://", "http://")):
        raise SiteError(
            "site_url is not set in mkdocs.yml: set it to the site's URL, such as "
            "https://docs.example.com/, so that links in the export lead to the site"
        )
    return record


def _add_files(
    export: Export, config: SiteConfig, pages: list[Page], groups: dict[str, str]
) -> None:
    """Make the texts, and note what did not fit."""
    name = one_line(config.site_name) or pages[0].title
    description = one_line(config.site_description)
    index, not_in_index = index_text(name, description, pages, groups)
    full, not_in_full = full_text(name, description, pages)
    texts, not_in_documents = documents(pages)
    export.pages = len(pages)
    export.files = {
        "llms.txt": index,
        "llms-full.txt": full,
        **{f"training-{number}.md": text for number, text in enumerate(texts, 1)},
        "questions.csv": to_csv(choose([page.sections for page in pages])),
    }
    export.cut += [
        f"{page.path}: only its first {MAX_PAGE:,} bytes" for page in pages if page.is_cut
    ]
    rest = {"llms.txt": not_in_index, "llms-full.txt": not_in_full, "documents": not_in_documents}
    export.cut += [
        f"{file}: without {missing[0].path} and the pages after it, {len(missing)} in all"
        for file, missing in rest.items()
        if missing
    ]
