"""Tags into a site that is already built, by whatever generator."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.utils import meta
from mkdocs.utils.yaml import yaml_load

from mkdocs_sentifyd.config import SentifydConfig
from mkdocs_sentifyd.embed import build_embed
from mkdocs_sentifyd.inject import inject
from mkdocs_sentifyd.selection import FrontMatterError, is_selected

__all__ = ["StaticSiteError", "inject_site"]

NOT_FOUND_PAGE = "404.html"


class StaticSiteError(Exception):
    """The site or its configuration cannot be used; the text says how to mend it."""


def inject_site(site_dir: Path, config_file: Path) -> tuple[int, int]:
    """Give the chosen pages of a built site their avatar; run again, it changes nothing.

    Args:
        site_dir: the folder of the built site.
        config_file: an mkdocs.yml with a `plugins: - sentifyd:` section; its `docs_dir` is where
            front matter is looked for.

    Returns:
        How many pages were changed, and how many HTML files there are.

    Raises:
        StaticSiteError: a folder, a file or an option is missing or wrong.
    """
    if not site_dir.is_dir():
        raise StaticSiteError(f"{site_dir} is not a folder: build the site first")
    settings = _read_yaml(config_file)
    options = _section(settings, config_file)
    # MkDocs' own switch for a plugin.
    is_enabled = options.pop("enabled", True)
    config = _validated(options, config_file)
    docs_dir = config_file.parent / str(settings.get("docs_dir") or "docs")
    embed = build_embed(config)
    changed = pages = 0
    for file in sorted(site_dir.rglob("*.html")):
        pages += 1
        path = PurePosixPath(file.relative_to(site_dir).as_posix())
        if not (is_enabled and _is_chosen(path, docs_dir, config)):
            continue
        before = file.read_bytes().decode("utf-8", "surrogateescape")
        after = inject(before, embed).html
        if after != before:
            _replace(file, after.encode("utf-8", "surrogateescape"))
            changed += 1
    return changed, pages


def _is_chosen(path: PurePosixPath, docs_dir: Path, config: SentifydConfig) -> bool:
    if path == PurePosixPath(NOT_FOUND_PAGE):
        return config.not_found_page
    sources = list(_sources(path))
    source = next((source for source in sources if (docs_dir / source).is_file()), None)
    try:
        front_matter = {} if source is None else _front_matter(docs_dir / source)
        return is_selected(str(source or sources[0]), front_matter, config)
    except FrontMatterError as error:
        raise StaticSiteError(f"{source}: {error}") from None


def _sources(path: PurePosixPath) -> Iterator[PurePosixPath]:
    """Where the source of a page may be, the likeliest first."""
    if path.name == "index.html" and path.parent.name:
        yield path.parent.with_suffix(".md")
    yield path.with_suffix(".md")
    yield path.with_name("README.md")


def _front_matter(file: Path) -> dict[str, Any]:
    _, data = meta.get_data(file.read_text(encoding="utf-8-sig", errors="replace"))
    return dict(data)


def _read_yaml(config_file: Path) -> dict[str, Any]:
    try:
        with config_file.open("rb") as stream:
            settings = yaml_load(stream)
    except FileNotFoundError:
        raise StaticSiteError(f"{config_file} is not there: name it with --config-file") from None
    except Exception as error:  # noqa: BLE001 - the YAML library raises many kinds
        reason = " ".join(str(error).split())
        raise StaticSiteError(f"{config_file} cannot be read: {reason}") from None
    return settings if isinstance(settings, dict) else {}


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
