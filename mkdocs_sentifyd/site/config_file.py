"""Read mkdocs.yml without MkDocs and without the other plugins that it names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mkdocs.exceptions import ConfigurationError
from mkdocs.utils.yaml import get_yaml_loader, yaml_load

from mkdocs_sentifyd.options.schema import SentifydConfig

__all__ = ["SiteConfig", "SiteError", "read_config"]

# Options whose warnings may be intended by the author; every other warning is a mistake.
_MAY_BE_INTENDED = {"public_api_key", "token_endpoint"}


class SiteError(Exception):
    """The site or its configuration is unusable; the text says how to fix it, a line a mistake."""


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """The parts of an mkdocs.yml that the commands use.

    Attributes:
        site_name: name of the site; may be empty.
        site_description: description of the site; may be empty.
        docs_dir: folder of the sources.
        site_url: URL of the published site; empty if unknown.
        meta_file: name of the files with front matter for a folder, or `None` if Material's meta
            plugin is off.
        options: the plugin's options, or `None` if the plugin is off.
        is_offline: whether Material's offline plugin is on, which builds for `file://`.
        warnings: problems that the author should fix, one line each.
    """

    site_name: str
    site_description: str
    docs_dir: Path
    site_url: str
    meta_file: str | None
    options: SentifydConfig | None
    is_offline: bool
    warnings: tuple[str, ...]


def read_config(file: Path) -> SiteConfig:
    """Read an mkdocs.yml with a `plugins: - sentifyd:` section.

    Raises:
        SiteError: the file or an option is missing or invalid.
    """
    settings = _read_yaml(file)
    plugins = dict(_plugins(settings.get("plugins") or []))
    if "sentifyd" not in plugins:
        raise SiteError(f"{file} has no sentifyd section under plugins")
    options = plugins["sentifyd"]
    if not isinstance(options, dict):
        raise SiteError(f"{file}: the sentifyd section must be a mapping of options")
    options = dict(options)
    # MkDocs has this option for every plugin. If it is false, the other options are not read.
    enabled = options.pop("enabled", True)
    if not isinstance(enabled, bool):
        raise SiteError(f"{file}: option 'enabled' must be true or false")
    config, warnings = _validated(options, file) if enabled else (None, ())
    docs_dir = file.parent / str(settings.get("docs_dir") or "docs")
    if config and not docs_dir.is_dir():
        if settings.get("docs_dir"):
            raise SiteError(f"{file}: docs_dir {docs_dir} does not exist: correct it")
        warnings = (*warnings, f"{docs_dir} does not exist: front matter is ignored")
    meta = plugins.get("material/meta", plugins.get("meta"))
    offline = plugins.get("material/offline", plugins.get("offline"))
    return SiteConfig(
        site_name=str(settings.get("site_name") or ""),
        site_description=str(settings.get("site_description") or ""),
        docs_dir=docs_dir,
        site_url=_site_url(settings.get("site_url"), file),
        meta_file=str(meta.get("meta_file", ".meta.yml")) if isinstance(meta, dict) else None,
        options=config,
        is_offline=isinstance(offline, dict) and offline.get("enabled", True) is True,
        warnings=warnings,
    )


def _site_url(value: object, file: Path) -> str:
    try:
        urlsplit(str(value or ""))
    except ValueError:
        raise SiteError(f"{file}: site_url is malformed: check host and port") from None
    return str(value or "")


def _read_yaml(file: Path) -> dict[str, Any]:
    if file.suffix == ".toml":
        raise SiteError(f"{file}: put the sentifyd section into an mkdocs.yml, and name that file")
    try:
        with file.open("rb") as stream:
            settings = yaml_load(stream, _yaml_loader())
    except FileNotFoundError:
        raise SiteError(f"{file} does not exist: give its path with --config-file") from None
    except OSError as error:
        raise SiteError(f"{file}: {error.strerror}") from None
    except Exception as error:  # noqa: BLE001 - the YAML library raises many kinds
        if isinstance(error, ConfigurationError) and str(error).startswith("Inherited"):
            raise SiteError(f"{file}: its INHERIT names a file that does not exist") from None
        # The error's text quotes the file, which may contain a secret.
        mark = getattr(error.__context__, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise SiteError(f"{file} cannot be read{place}: fix its YAML") from None
    return settings if isinstance(settings, dict) else {}


def _yaml_loader() -> type[Any]:
    """Return MkDocs' YAML loader, but ignore the tags of other plugins and extensions."""
    loader: type[Any] = get_yaml_loader()
    loader.yaml_multi_constructors = {}
    loader.add_multi_constructor("!", _ignore)
    loader.add_multi_constructor("tag:yaml.org,2002:python/", _ignore)
    return loader


def _ignore(*_: object) -> None:
    return None


def _plugins(section: object) -> Iterator[tuple[str, Any]]:
    """Yield names and options, from a mapping or from a list of names and mappings."""
    entries = section if isinstance(section, list) else [section]
    for entry in entries:
        if isinstance(entry, dict):
            yield from ((str(name), options or {}) for name, options in entry.items())
        else:
            yield str(entry), {}


def _validated(options: dict[str, Any], file: Path) -> tuple[SentifydConfig, tuple[str, ...]]:
    config = SentifydConfig(str(file))
    config.load_dict(options)
    errors, warnings = config.validate()
    lines = [f"{file}: option '{name}': {problem}" for name, problem in warnings]
    # There is no strict mode here, and a misspelt `exclude` would put avatars on the wrong pages.
    wrong = [line for line in warnings if line[0] not in _MAY_BE_INTENDED]
    if mistakes := [*errors, *wrong]:
        raise SiteError("\n".join(f"{file}: option '{name}': {text}" for name, text in mistakes))
    return config, tuple(lines)
