"""Sites that a generator builds in its own process, and checks of their pages."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from mkdocs_sentifyd.cli import main
from tests.matrix.environments import Environment
from tests.support.sites import OPTIONS, Page, write_files, write_site

MATERIAL: Mapping[str, object] = {"name": "material", "font": False}
OFF = "---\nsentifyd: false\n---\n\n"
INLINE = "Before.\n\n<sentifyd-bot></sentifyd-bot>\n\nAfter.\n"
# Builds must not depend on the network: nothing listens here, so every download fails at once.
NO_NETWORK = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9") | {"NO_PROXY": ""}

Attributes = Mapping[str, str]


class Site:
    """A folder with an mkdocs.yml and pages, and the environment that builds it."""

    def __init__(self, environment: Environment, folder: Path) -> None:
        self.environment = environment
        self.folder = folder
        self.output = folder / "site"

    def write(self, files: Mapping[str, str]) -> None:
        write_files(self.folder, files)

    def configure(
        self,
        plugins: Sequence[object] = (),
        options: Mapping[str, object] | None = None,
        **settings: object,
    ) -> None:
        """Write mkdocs.yml; our plugin comes first, so its events run before all others'."""
        config = {
            "site_name": "Test",
            "site_url": "https://docs.example.com/",
            "theme": MATERIAL,
            "plugins": [{"sentifyd": {**OPTIONS, **(options or {})}}, *plugins],
            **settings,
        }
        write_site(self.folder, config, {})

    def build(self, *arguments: str) -> str:
        """Run a strict build that must succeed, and return its output."""
        status, output = self.try_build("--strict", *arguments)
        assert status == 0, output
        self.check()
        return output

    def check(self, folder: Path | None = None) -> None:
        """Run `mkdocs-sentifyd check` in the process of the tests; it must find nothing."""
        command = ["check", str(folder or self.output), "--config-file"]
        with redirect_stdout(StringIO()) as printed:
            status = main([*command, str(self.folder / "mkdocs.yml")])
        assert (status, "no problems" in printed.getvalue()) == (0, True), printed.getvalue()

    def try_build(self, *arguments: str) -> tuple[int, str]:
        """Run a build, and return its exit status and output."""
        # Without --config-file, ProperDocs looks for a file of its own name first.
        command = [self.environment.name, "build", "--config-file=mkdocs.yml", *arguments]
        result = self.environment.run(*command, folder=self.folder, **NO_NETWORK)
        return result.returncode, result.stdout

    def run(self, *command: str) -> None:
        """Run a command of the environment that must succeed."""
        result = self.environment.run(*command, folder=self.folder, **NO_NETWORK)
        assert result.returncode == 0, result.stdout

    def inject(self) -> None:
        """Run `mkdocs-sentifyd inject` in the process of the tests."""
        config_file = str(self.folder / "mkdocs.yml")
        assert main(["inject", str(self.output), "--config-file", config_file]) == 0
        self.check()

    def commit(self) -> None:
        """Put all files into a new git repository."""
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "Test")
        self.git("config", "user.email", "test@example.com")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=Write")

    def git(self, *arguments: str) -> None:
        variables = self.environment.variables()
        subprocess.run(["git", *arguments], cwd=self.folder, env=variables, check=True)

    def page(self, path: str) -> Page:
        return Page((self.output / path).read_text(encoding="utf-8"))

    def pages_with_avatar(self, attributes: Mapping[str, Attributes] | None = None) -> set[str]:
        return pages_with_avatar(self.output, attributes)


def pages_with_avatar(folder: Path, attributes: Mapping[str, Attributes] | None = None) -> set[str]:
    """Return the pages with an avatar, and check that each page has a complete avatar or none.

    Args:
        folder: of the built site.
        attributes: by page, those of an element that differs from the options.
    """
    chosen = set()
    for file in sorted(folder.rglob("*.html")):
        path = file.relative_to(folder).as_posix()
        page = Page(file.read_text(encoding="utf-8"))
        try:
            if "sentifyd" in page.html:
                page.assert_avatar((attributes or {}).get(path))
                chosen.add(path)
            else:
                page.assert_no_avatar()
        except Exception as error:
            error.add_note(f"on the page {path}")
            raise
    return chosen
