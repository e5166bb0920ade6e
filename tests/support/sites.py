"""Sites that MkDocs builds, and checks of their pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from unittest.mock import patch

import jinja2
import yaml
from bs4 import BeautifulSoup, Tag
from click.testing import CliRunner
from jinja2.bccache import Bucket
from mkdocs.__main__ import cli
from mkdocs.theme import Theme

ENDPOINT = "https://tokens.example.com/request_tokens"
LOADER = "https://frontend.sentifyd.io/sentifyd-bot/main.js"
OPTIONS = {"avatar_id": "avtr_1234abcd", "token_endpoint": ENDPOINT}


class Page:
    """A built page, parsed as a browser would."""

    def __init__(self, html: str) -> None:
        self.html = html
        self.soup = BeautifulSoup(html, "html5lib")

    def loaders(self, url: str = LOADER) -> list[Tag]:
        return [tag for tag in self.soup.find_all("script") if tag.get("src") == url]

    def elements(self, name: str = "sentifyd-bot") -> list[Tag]:
        return list(self.soup.find_all(name))

    def element(self, name: str = "sentifyd-bot") -> dict[str, str]:
        """The attributes of the only element, after a check that none is repeated."""
        (element,) = self.elements(name)
        source = self.html[self.html.index(f"<{name}") :]
        attributes = {key: str(value) for key, value in element.attrs.items()}
        for key in attributes:
            assert source[: source.index(f"></{name}")].count(f" {key}=") == 1
        return attributes

    def assert_avatar(self, attributes: Mapping[str, str] | None = None) -> None:
        (loader,) = self.loaders()
        assert [parent.name for parent in loader.parents][:2] == ["head", "html"]
        assert loader.attrs == {"src": LOADER, "defer": ""}
        (element,) = self.elements()
        assert "body" in [parent.name for parent in element.parents]
        wanted = attributes or {
            "token_endpoint": ENDPOINT,
            "avatar_id": "avtr_1234abcd",
        }
        assert element.attrs == wanted
        # A parser drops repeated attributes, so they are counted in the text.
        source = str(self.html)[self.html.index("<sentifyd-bot") :].split(">")[0]
        for name in wanted:
            assert source.count(f"{name}=") == 1

    def assert_no_avatar(self) -> None:
        assert self.loaders() == []
        assert self.elements() == []
        assert "sentifyd" not in self.html.lower()


class _Compiled(jinja2.BytecodeCache):
    """Templates that this process has compiled: most of the time of a small Material site."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if code := self._codes.get((bucket.key, bucket.checksum)):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key, bucket.checksum] = bucket.bytecode_to_string()


_COMPILED = _Compiled()
_GET_ENV = Theme.get_env


def _get_env(theme: Theme) -> jinja2.Environment:
    environment = _GET_ENV(theme)
    environment.bytecode_cache = _COMPILED
    return environment


class Build:
    """The result of `mkdocs build`."""

    def __init__(self, site: Path, status: int, output: str) -> None:
        self.site = site
        self.status = status
        self.output = output

    def page(self, path: str) -> Page:
        return Page((self.site / path).read_text(encoding="utf-8"))


BuildSite = Callable[..., Build]


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write texts, by their paths below the folder."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def write_site(folder: Path, config: Mapping[str, object] | str, pages: Mapping[str, str]) -> Path:
    """Write `mkdocs.yml`, whose path is returned, and the sources below `docs/`."""
    text = config if isinstance(config, str) else yaml.safe_dump(dict(config), sort_keys=False)
    write_files(folder, {"mkdocs.yml": text})
    write_files(folder / "docs", pages)
    return folder / "mkdocs.yml"


def build_site(
    folder: Path,
    config: Mapping[str, object] | str,
    pages: Mapping[str, str],
    *,
    strict: bool = True,
) -> Build:
    """Write a site and run `mkdocs build` in this process; it may fail."""
    command = ["build", "--config-file", str(write_site(folder, config, pages))]
    with patch.object(Theme, "get_env", _get_env):
        result = CliRunner().invoke(
            cli, [*command, *(["--strict"] if strict else [])], env={"NO_MKDOCS_2_WARNING": "1"}
        )
    return Build(folder / "site", result.exit_code, result.output)
