from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.realtime.visitors import Realtime, Vendor
from tests.runtime.stage import Stage
from tests.support.servers import serving
from tests.support.vendor import Backend, built_component

MakeVendor = Callable[..., Vendor]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Sites that are built on demand, each only once."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        yield Stage(stack, tmp_path_factory.mktemp("stage"))


@pytest.fixture(scope="session")
def backend(root: Path) -> Backend:
    return Backend(built_component(root))


@pytest.fixture(scope="session")
def backend_url(backend: Backend) -> Iterator[str]:
    with serving(backend.app()) as url:
        yield url


@pytest.fixture
def make_vendor(browser: Browser, stage: Stage, backend_url: str) -> Iterator[MakeVendor]:
    """Makes visitors of the vendor's component, with options of Playwright's contexts."""
    with ExitStack() as stack:

        def make(**options: Any) -> Vendor:  # noqa: ANN401 - Playwright's
            wanted = {"viewport": {"width": 1280, "height": 800}, **options}
            context = stack.enter_context(browser.new_context(**wanted))
            return Vendor(context.new_page(), stage, backend_url)

        yield make


@pytest.fixture
def vendor(make_vendor: MakeVendor) -> Vendor:
    return make_vendor()


@pytest.fixture(params=["sandbox", "vendor"])
def realtime(request: pytest.FixtureRequest, browser: Browser, stage: Stage) -> Iterator[Realtime]:
    """A visitor of each component."""
    if request.param == "vendor":
        yield request.getfixturevalue("vendor")
        return
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        yield Realtime(context.new_page(), stage, stage.realtime_loader)
