from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from tests.matrix.environments import Environment, InstallError
from tests.packaging.bare import make_bare


@dataclass(frozen=True, slots=True)
class Distributions:
    """What a release publishes, and the wheel that the tree itself makes."""

    sdist: Path
    wheel: Path
    wheel_of_tree: Path


class Make(Protocol):
    """Makes an environment of a Python and what is to be installed there."""

    def __call__(
        self, python: str, *requirements: str, without: tuple[str, ...] = ()
    ) -> Environment: ...


@contextmanager
def installing() -> Iterator[None]:
    """Without a network a test is skipped, but not unseen."""
    try:
        yield
    except InstallError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def distributions(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    published, other = tmp_path_factory.mktemp("published"), tmp_path_factory.mktemp("other")
    # Asked for no kind, build makes the wheel out of the sdist.
    build(root, "--outdir", str(published))
    build(root, "--outdir", str(other), "--wheel")
    (sdist,), (wheel,) = published.glob("*.tar.gz"), published.glob("*.whl")
    (wheel_of_tree,) = other.glob("*.whl")
    return Distributions(sdist, wheel, wheel_of_tree)


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    numbers = itertools.count()

    def make(python: str, *requirements: str, without: tuple[str, ...] = ()) -> Environment:
        folder = tmp_path_factory.mktemp("bare") / str(next(numbers))
        with installing():
            return make_bare(folder, python, requirements, without)

    return make


def build(project: Path, *arguments: str) -> None:
    """Make what an index gets of a project, as a release does."""
    result = subprocess.run(
        [sys.executable, "-m", "build", "--installer", "uv", *arguments, str(project)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout
