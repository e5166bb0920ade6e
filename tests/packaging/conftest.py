from __future__ import annotations

import hashlib
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
from tests.support import missing
from tests.support.share import Share


@dataclass(frozen=True, slots=True)
class Distributions:
    """The files of a release, and the wheel that is built directly from the tree."""

    sdist: Path
    wheel: Path
    wheel_of_tree: Path


class Make(Protocol):
    """Makes an environment from a Python and its requirements."""

    def __call__(
        self, python: str, *requirements: str, without: tuple[str, ...] = ()
    ) -> Environment: ...


@contextmanager
def installing() -> Iterator[None]:
    """Skip a test without a network; in CI, fail it."""
    try:
        yield
    except InstallError as error:
        missing.skip(str(error))


@pytest.fixture(scope="session")
def distributions(root: Path, share: Share) -> Distributions:
    def make(folder: Path) -> None:
        # By default, build makes the wheel from the sdist.
        build(root, "--outdir", str(folder / "published"))
        build(root, "--outdir", str(folder / "other"), "--wheel")

    folder = share.made("distributions", make)
    published, other = folder / "published", folder / "other"
    (sdist,), (wheel,) = published.glob("*.tar.gz"), published.glob("*.whl")
    (wheel_of_tree,) = other.glob("*.whl")
    return Distributions(sdist, wheel, wheel_of_tree)


@pytest.fixture(scope="session")
def make(share: Share) -> Make:
    def make(python: str, *requirements: str, without: tuple[str, ...] = ()) -> Environment:
        wanted = "\0".join([python, *requirements, "", *without])
        name = f"bare-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"

        def install(folder: Path) -> None:
            with installing():
                make_bare(folder, python, requirements, without)

        # Python writes compiled files beside the modules.
        return Environment("mkdocs", share.made(name, install, is_read_only=False))

    return make


def build(project: Path, *arguments: str) -> None:
    """Build the distributions of a project, as a release does."""
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
