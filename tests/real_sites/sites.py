"""The documentation of packages, from their sdists, and an environment that builds it."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
import tomllib
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit

import yaml

from tests.matrix.environments import ROOT, Environment, InstallError, prepare, uv
from tests.support.sites import OPTIONS

HERE = Path(__file__).parent
FOLDER = ROOT / ".venvs" / "real-sites"


class SdistError(Exception):
    """An sdist is not the pinned one; the text says which."""


@dataclass(frozen=True, slots=True)
class Site:
    """A row of `sites.toml`."""

    name: str
    version: str
    sha256: str
    config: str
    requirements: Sequence[str]
    options: Mapping[str, object] = field(default_factory=dict)
    in_tests: bool = False

    def environment(self) -> Environment:
        """Return the environment with what builds the site, and the working tree.

        Raises:
            InstallError: there is no network, or a pinned version no longer exists.
        """
        pins = HERE / "pins" / f"{self.name}.txt"
        environment = Environment("mkdocs", FOLDER / self.name)
        arguments = ("--requirement", str(pins))
        return prepare(environment, *arguments, pins=pins, with_project=True)

    def write_pins(self) -> None:
        """Write the newest versions of what builds the site, and of all that they need."""
        pins = HERE / "pins" / f"{self.name}.txt"
        with tempfile.NamedTemporaryFile("w", suffix=".in") as file:
            # The last is what the plugin needs in addition to MkDocs.
            file.write("\n".join([*self.requirements, "mkdocs<2", "tinycss2"]))
            file.flush()
            arguments = ("--quiet", "--universal", "--python-version=3.11", "--no-header")
            uv("pip", "compile", *arguments, "--no-annotate", f"-o{pins}", file.name)

    def unpack(self, folder: Path) -> Path:
        """Unpack the sdist into a folder, and return the path of its configuration file.

        Raises:
            InstallError: there is no network.
            SdistError: the index has another file.
        """
        with tarfile.open(self._sdist()) as archive:
            # Python 3.11.2, as in Debian 12, has no filters.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(folder)
        (source,) = folder.iterdir()
        return source / self.config

    def _sdist(self) -> Path:
        file = FOLDER / "sdists" / f"{self.name}-{self.version}.tar.gz"
        if file.is_file() and _digest(file.read_bytes()) == self.sha256:
            return file
        url = self._url()
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                content = answer.read()
        except (URLError, TimeoutError) as error:
            raise InstallError(f"{file.name} cannot be downloaded: {error}") from None
        if _digest(content) != self.sha256:
            raise SdistError(f"{file.name} has another sha256 than sites.toml: {_digest(content)}")
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as part:
            part.write(content)
        return Path(part.name).replace(file)

    def _url(self) -> str:
        """Return where the sdist is, in the index that uv uses."""
        with tempfile.TemporaryDirectory() as folder:
            wanted, lock = Path(folder, "wanted.in"), Path(folder, "pylock.toml")
            wanted.write_text(f"{self.name}=={self.version}", encoding="utf-8")
            # A lock file also names the sdist. It takes the wheel's metadata, so nothing is built.
            uv("pip", "compile", "--quiet", "--no-deps", f"-o{lock}", str(wanted))
            (package,) = tomllib.loads(lock.read_text(encoding="utf-8"))["packages"]
        url = str(package["sdist"]["url"])
        assert urlsplit(url).scheme in ("http", "https"), url
        return url


def read_sites() -> list[Site]:
    rows = tomllib.loads((HERE / "sites.toml").read_text(encoding="utf-8"))["site"]
    return [Site(**row) for row in rows]


def theme_of(config_file: Path) -> str:
    """Return the name of the theme."""
    root = _compose(config_file.read_text(encoding="utf-8"))
    theme = _values(root).get("theme")
    name = _values(theme).get("name") if isinstance(theme, yaml.MappingNode) else theme
    return str(name.value) if isinstance(name, yaml.ScalarNode) else "mkdocs"


def add_plugin(config_file: Path, options: Mapping[str, object]) -> None:
    """Add the plugin to a configuration file, as the first of the plugins.

    The file changes by one line, because its tags name functions of other packages, so that it
    cannot be parsed and written again here.
    """
    text = config_file.read_text(encoding="utf-8")
    plugin = (
        f"sentifyd: {yaml.safe_dump({**OPTIONS, **options}, default_flow_style=True, width=1000)}"
    )
    plugins = _values(_compose(text)).get("plugins")
    if plugins is None:
        config_file.write_text(f"{text}\nplugins:\n  - search\n  - {plugin}", encoding="utf-8")
        return
    lines = text.splitlines(keepends=True)
    first = plugins.value[0]
    node = first[0] if isinstance(plugins, yaml.MappingNode) else first
    mark = node.start_mark
    lines.insert(mark.line, lines[mark.line][: mark.column] + plugin)
    config_file.write_text("".join(lines), encoding="utf-8")


def _compose(text: str) -> yaml.Node:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return root


def _values(node: yaml.Node) -> dict[str, yaml.Node]:
    assert isinstance(node, yaml.MappingNode)
    return {str(key.value): value for key, value in node.value}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
