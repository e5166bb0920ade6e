"""The shell of a reader of the documentation: a folder with a site, and running services."""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import re
import shutil
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import certifi
import click
import pytest
from click.testing import CliRunner
from mkdocs.__main__ import cli as mkdocs
from uvicorn.main import main as uvicorn

import edge_service.cli
import mkdocs_sentifyd.cli
from edge_service.app import create_app
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.sealing import new_key
from edge_service.settings import Settings, SettingsError
from edge_service.settings.variables import declared
from tests.support.examples import ROOT, CommandLine
from tests.support.servers import serving
from tests.support.settings import KEY, ORIGIN, settings_for

ENDPOINT = "https://tokens.example.com"
# Variables of the local commands and of this project's own site.
OTHERS = {
    *("SANDBOX_PORT", "EDGE_PORT", "SITE_PORT", "SANDBOX_API_KEY", "SENTIFYD_LOAD", "SITE_URL"),
    *("SENTIFYD_PREVIEW", "SENTIFYD_TOKEN_ENDPOINT", "SENTIFYD_LOADER_URL"),
}
VARIABLES = {name for v in declared() for name in (v.name, v.file_name) if name}
MKDOCS_YML = """
site_name: Example
site_url: https://docs.example.com/
plugins:
  - search
  - sentifyd:
      avatar_id: avtr_1234abcd
      token_endpoint: {endpoint}/request_tokens
"""


@contextmanager
def sample_shell(folder: Path) -> Iterator[Shell]:
    """A folder with a built site, and its token service and sandbox until the block ends."""
    with (
        serving(create_sandbox(Sandbox(KEY, 60))) as upstream,
        serving(create_app(settings_for(upstream))) as endpoint,
    ):
        yield Shell(folder, endpoint)


class Shell:
    """Parses command lines with their programs' parsers, and runs those that end by themselves."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder, self.site = folder, folder / "site"
        self.settings = {"AVATAR_API_KEY": KEY, "ALLOWED_ORIGINS": ORIGIN}
        self._endpoint = endpoint
        self._readers: dict[str, Callable[[CommandLine], None]] = {
            "sentifyd-edge": self._edge,
            "mkdocs-sentifyd": self._plugin,
            "mkdocs": self._mkdocs,
            "uvicorn": self._uvicorn,
            "make": self._make,
            "pip": self._pip,
            "python": self._python,
        }
        (folder / "docs").mkdir()
        (folder / "docs" / "index.md").write_text("# Example\n")
        (folder / "mkdocs.yml").write_text(MKDOCS_YML.format(endpoint=endpoint))
        self._build([])

    def knows(self, line: CommandLine) -> bool:
        """Whether the line, or a part of it, can be checked here."""
        ours = line.program in self._readers and line.words[:1] != ("python",)
        return ours or "-m" in line.words or not VARIABLES.isdisjoint(line.variables)

    def run(self, lines: Iterable[CommandLine]) -> None:
        """Parse the lines, and run commands that end by themselves."""
        bare: dict[str, str] = {}
        for line in lines:
            if line.words and line.program in self._readers:
                self._readers[line.program](line)
            elif not line.words:
                bare |= line.variables
        if not VARIABLES.isdisjoint(bare):
            self._settings(bare)

    def output(self, lines: Iterable[CommandLine]) -> str:
        """The output of a service command that refuses to start."""
        [line] = lines
        with pytest.raises(SettingsError):
            Settings.from_env(line.variables)
        printed = io.StringIO()
        with mock.patch.dict(os.environ, line.variables), redirect_stderr(printed):
            for name in VARIABLES - line.variables.keys():
                os.environ.pop(name, None)
            # Otherwise it would also report the default port if it is in use.
            os.environ.setdefault("PORT", "0")
            assert edge_service.cli.main(line.words[1:]) == 2
        return printed.getvalue()

    def _edge(self, line: CommandLine) -> None:
        options = _parsed(edge_service.cli.parser(), line)
        unknown = {name for name in line.variables if not name.startswith("OTEL_")}
        assert unknown - VARIABLES - OTHERS == set(), line
        if line.words[1] in ("serve", "doctor"):
            self._settings(line.variables)
        elif line.words[1] == "keygen" and options:
            assert _ran(lambda: edge_service.cli.main(["keygen"]))

    def _plugin(self, line: CommandLine) -> None:
        if not (options := _parsed(mkdocs_sentifyd.cli.parser(), line)):
            return
        copy = self.folder / "copy"
        shutil.copytree(self.site, copy)
        options.site_dir, options.config_file = copy, self.folder / "mkdocs.yml"
        if line.words[1] == "export":
            options.output = copy / "export"
        elif line.words[1] == "check":
            if options.endpoint:
                options.endpoint = options.endpoint.replace(ENDPOINT, self._endpoint)
            if options.key_file:
                options.key_file = Path(self._file("AVATAR_API_KEY"))
        try:
            assert _ran(lambda: options.run(options))
        finally:
            shutil.rmtree(copy)

    def _mkdocs(self, line: CommandLine) -> None:
        name, *arguments = line.words[1:]
        for number, word in enumerate(arguments):
            if word in ("-f", "--config-file"):
                arguments[number + 1] = "mkdocs.yml"
        with chdir(self.folder):
            command = mkdocs.commands[name]
            assert isinstance(command, click.Command)
            with command.make_context(name, list(arguments)):
                pass
        if name == "build":
            self._build(arguments)

    def _build(self, arguments: list[str]) -> None:
        with chdir(self.folder):
            done = CliRunner().invoke(mkdocs, ["build", *arguments])
        assert done.exit_code == 0, done.output

    def _uvicorn(self, line: CommandLine) -> None:
        with uvicorn.make_context("uvicorn", list(line.words[1:])):
            pass
        self._settings(line.variables)

    def _make(self, line: CommandLine) -> None:
        text = (ROOT / "Makefile").read_text()
        for word in line.words[1:]:
            name, assigns, _ = word.partition("=")
            pattern = rf"\$\({name}\)" if assigns else rf"^{name}:"
            assert re.search(pattern, text, re.MULTILINE), f"not in the Makefile: {word}"

    def _pip(self, line: CommandLine) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        for word in line.words:
            if wanted := re.search(r"^(?:\.|mkdocs-sentifyd)\[([\w,]+)\]", word):
                extras = set(wanted[1].split(","))
                assert extras <= project["optional-dependencies"].keys(), word

    def _python(self, line: CommandLine) -> None:
        if "-m" in line.words:
            name = line.words[line.words.index("-m") + 1]
            assert importlib.util.find_spec(name), f"no module {name}"

    def _settings(self, variables: dict[str, str]) -> None:
        """Check that the service accepts these variables; files and shell variables get values."""
        given = {
            name: self._file(name) if name.endswith("_FILE") or "$" in value else value
            for name, value in variables.items()
        }
        common = dict(self.settings)
        if not {"AVATAR_API_KEY_FILE", "AVATARS_FILE"}.isdisjoint(given):
            del common["AVATAR_API_KEY"]
        Settings.from_env({**common, **given})

    def _file(self, variable: str) -> str:
        name = variable.removesuffix("_FILE")
        if variable == "SSL_CERT_FILE":
            return certifi.where()
        contents = {
            "AVATAR_API_KEY": KEY,
            "SEAL_KEYS": new_key(),
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "AVATARS": f'[[avatars]]\nid = "docs"\nkey = "{KEY}"\n',
        }
        file = self.folder / name
        file.write_text(contents[name])
        return str(file) if variable.endswith("_FILE") else contents[name]


def _parsed(parser: argparse.ArgumentParser, line: CommandLine) -> argparse.Namespace | None:
    """The parsed line; `None` if the parser has already answered, as for `--help`."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            return parser.parse_args(line.words[1:])
    except SystemExit as end:
        if end.code:
            raise AssertionError(printed.getvalue()) from None
        return None


def _ran(command: Callable[[], int]) -> str:
    """The output of a command that succeeded."""
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        status = command()
    assert status == 0, printed.getvalue()
    return printed.getvalue()
