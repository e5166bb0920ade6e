"""Tags into a site that is already built, by whatever generator."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.utils import meta
from mkdocs.utils.yaml import get_yaml_loader, yaml_load

from mkdocs_sentifyd.config import SentifydConfig
from mkdocs_sentifyd.embed import Embed, build_embed
from mkdocs_sentifyd.inject import inject
from mkdocs_sentifyd.selection import FrontMatterError, is_selected

__all__ = ["Report", "StaticSiteError", "inject_site"]

_SUFFIXES = frozenset({".html", ".htm"})
# A file without any of these is a fragment, or a proof of ownership for a search engine.
_WHOLE_PAGE = re.compile(r"<(?:!doctype|html|head|body)[\s>]", re.IGNORECASE)
_REDIRECT = re.compile(r"<meta[^>]+http-equiv=[\"']?refresh", re.IGNORECASE)


class StaticSiteError(Exception):
    """The site or its configuration cannot be used; the text says how to mend it."""


@dataclass(slots=True)
class Report:
    """What was done to a site.

    Attributes:
        pages: how many HTML files it has.
        changed: how many of them were changed.
        advice: what authors should mend, a line each.
    """

    pages: int = 0
    changed: int = 0
    advice: list[str] = field(default_factory=list)


def inject_site(site_dir: Path, config_file: Path) -> Report:
    """Give the chosen pages of a built site their avatar; run again, it changes nothing.

    Redirects, fragments, links and files that are not text in an ASCII-compatible encoding stay as
    they are.

    Args:
        site_dir: the folder of the built site.
        config_file: an mkdocs.yml with a `plugins: - sentifyd:` section; its `docs_dir` is where
            front matter is looked for.

    Raises:
        StaticSiteError: a folder, a file or an option is missing or wrong.
    """
    if not site_dir.is_dir():
        raise StaticSiteError(f"{site_dir} is not a folder: build the site first")
    settings = _read_yaml(config_file)
    options = _section(settings, config_file)
    report = Report()
    # MkDocs' own switch for a plugin, which then leaves the other options unread.
    enabled = options.pop("enabled", True)
    if not isinstance(enabled, bool):
        raise StaticSiteError(f"{config_file}: option 'enabled' must be true or false")
    site = None
    if enabled:
        config = _validated(options, config_file)
        docs_dir = config_file.parent / str(settings.get("docs_dir") or "docs")
        site = _Site(docs_dir, config, build_embed(config), report)
    for file in sorted(site_dir.rglob("*")):
        if file.suffix.lower() not in _SUFFIXES or file.is_symlink() or not file.is_file():
            continue
        report.pages += 1
        if site is not None:
            try:
                site.inject_page(file, PurePosixPath(file.relative_to(site_dir).as_posix()))
            except OSError as error:
                raise StaticSiteError(f"{file}: {error.strerror}") from None
    return report


@dataclass(frozen=True, slots=True)
class _Site:
    docs_dir: Path
    config: SentifydConfig
    embed: Embed
    report: Report

    def inject_page(self, file: Path, path: PurePosixPath) -> None:
        before = file.read_bytes().decode("utf-8", "surrogateescape")
        if "\0" in before or not _WHOLE_PAGE.search(before) or _REDIRECT.search(before):
            return
        if not self._is_chosen(path):
            return
        page = inject(before, self.embed)
        self.report.advice += [f"{path}: {advice}" for advice in page.advice]
        if page.html != before:
            _replace(file, page.html.encode("utf-8", "surrogateescape"))
            self.report.changed += 1

    def _is_chosen(self, path: PurePosixPath) -> bool:
        if path.name == "404.html":
            return self.config.not_found_page
        candidates = list(_sources(path))
        source = next((name for name in candidates if (self.docs_dir / name).is_file()), None)
        if source is None:
            # Any of the names that a pattern may mean, the page's own among them.
            return is_selected([str(name) for name in (*candidates, path)], {}, self.config)
        try:
            return is_selected([str(source)], _front_matter(self.docs_dir / source), self.config)
        except FrontMatterError as error:
            raise StaticSiteError(f"{source}: {error}") from None


def _sources(path: PurePosixPath) -> Iterator[PurePosixPath]:
    """Where the source of a page may be, the likeliest first."""
    yield path.with_suffix(".md")
    if path.stem == "index":
        yield path.with_name("README.md")
        if path.parent.name:
            yield path.parent.with_suffix(".md")


def _front_matter(file: Path) -> dict[str, Any]:
    _, data = meta.get_data(file.read_text(encoding="utf-8-sig", errors="replace"))
    return dict(data)


def _read_yaml(config_file: Path) -> dict[str, Any]:
    try:
        with config_file.open("rb") as stream:
            settings = yaml_load(stream, _yaml_loader())
    except FileNotFoundError:
        raise StaticSiteError(f"{config_file} is not there: name it with --config-file") from None
    except Exception as error:  # noqa: BLE001 - the YAML library raises many kinds
        # Its texts quote the file, which may hold a secret.
        mark = getattr(error.__context__, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise StaticSiteError(f"{config_file} cannot be read{place}: mend its YAML") from None
    return settings if isinstance(settings, dict) else {}


def _yaml_loader() -> type[Any]:
    """MkDocs' own, but what belongs to other plugins and extensions is neither run nor missed."""
    loader: type[Any] = get_yaml_loader()
    loader.yaml_multi_constructors = {}
    loader.add_multi_constructor("!", _ignore)
    loader.add_multi_constructor("tag:yaml.org,2002:python/", _ignore)
    return loader


def _ignore(*_: object) -> None:
    return None


def _section(settings: dict[str, Any], config_file: Path) -> dict[str, Any]:
    plugins = settings.get("plugins") or []
    named = plugins.items() if isinstance(plugins, dict) else _named(plugins)
    options = next((options or {} for name, options in named if name == "sentifyd"), None)
    if not isinstance(options, dict):
        raise StaticSiteError(f"{config_file} has no sentifyd section under plugins")
    return dict(options)


def _validated(options: dict[str, Any], config_file: Path) -> SentifydConfig:
    config = SentifydConfig(str(config_file))
    config.load_dict(options)
    errors, warnings = config.validate()
    for name, problem in [*errors, *warnings]:
        raise StaticSiteError(f"{config_file}: option '{name}': {problem}")
    return config


def _named(plugins: list[Any]) -> Iterator[tuple[str, Any]]:
    for plugin in plugins:
        if isinstance(plugin, dict):
            yield from plugin.items()
        else:
            yield str(plugin), {}


def _replace(file: Path, content: bytes) -> None:
    """Write beside the file and rename, so that no reader ever sees half a page."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(name).chmod(file.stat().st_mode)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
