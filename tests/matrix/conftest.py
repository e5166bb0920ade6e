from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix.environments import Environment, InstallError, make_environment
from tests.matrix.sites import Site
from tests.support import missing
from tests.support.effort import some


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Try ProperDocs, which differs little from MkDocs, with some of the tests."""
    fork = [item for item in items if "[properdocs" in item.name]
    left_out = set(fork) - set(some(fork))
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def _environment(name: str, *, with_project: bool) -> Environment:
    try:
        return make_environment(name, with_project=with_project)
    except InstallError as error:
        missing.skip(f"cannot install {name}: {error}")


@pytest.fixture(scope="session", params=["mkdocs", "properdocs"])
def generator(request: pytest.FixtureRequest) -> Environment:
    """Each generator that supports MkDocs plugins, with the working tree installed."""
    return _environment(request.param, with_project=True)


@pytest.fixture(scope="session")
def zensical() -> Environment:
    return _environment("zensical", with_project=False)


@pytest.fixture(scope="session")
def sphinx() -> Environment:
    return _environment("sphinx", with_project=False)


@pytest.fixture
def site(generator: Environment, tmp_path: Path) -> Site:
    return Site(generator, tmp_path)
