from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.browsing import Visit, launch
from tests.support.effort import THOROUGH
from tests.support.share import Share


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A new visitor, with nothing stored."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield Visit(context.new_page())
    context.close()


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def share(tmp_path_factory: pytest.TempPathFactory) -> Share:
    """Files that are made once for all workers."""
    own = tmp_path_factory.getbasetemp()
    return Share(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests marked with `thorough`, and run those marked with `stress` first.

    The first process gets the first tests, so no other one waits for them.
    """
    left_out = [] if THOROUGH else [item for item in items if item.get_closest_marker("thorough")]
    config.hook.pytest_deselected(items=left_out)
    rest = set(items).difference(left_out)
    items[:] = sorted(
        (item for item in items if item in rest),
        key=lambda item: item.get_closest_marker("stress") is None,
    )


@pytest.fixture(autouse=True)
def _one_at_a_time(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests marked with `stress` load or measure the machine, and do not disturb each other."""
    if request.node.get_closest_marker("stress") is None:
        yield
        return
    share: Share = request.getfixturevalue("share")
    with share.locked("stress"):
        yield


@pytest.fixture(scope="session")
def documentation(root: Path, share: Share) -> Path:
    """This project's documentation, built in strict mode. Tests must not change it."""

    def make(folder: Path) -> None:
        config_file = root / "example_docs" / "mkdocs.yml"
        command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
        done = subprocess.run(
            [*command, "--config-file", str(config_file), "--site-dir", str(folder)],
            env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "SITE_URL": "http://127.0.0.1:8000/"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout

    return share.made("documentation", make)
