from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser

from tests.runtime.stage import Stage, Visitor
from tests.support.effort import THOROUGH


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Try the promises with one component in Firefox and WebKit, unless thorough."""
    engines = ("[firefox-", "[webkit-")
    left_out = [
        item
        for item in items
        if any(engine in item.name for engine in engines) and "-realtime]" in item.name
    ]
    if not THOROUGH:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Sites that are built on demand, each only once."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        yield Stage(stack, tmp_path_factory.mktemp("stage"))


@pytest.fixture
def visitor(browser: Browser, stage: Stage) -> Iterator[Visitor]:
    """A new visitor with an empty storage."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        yield Visitor(context.new_page(), stage.loaders)
