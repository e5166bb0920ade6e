"""The pinned versions are compatible, on the oldest and the newest Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.bare import try_pins
from tests.packaging.conftest import installing

DEBIAN_12 = "3.11.2"


@pytest.mark.parametrize("python", [DEBIAN_12, "3.14"])
def test_pins_satisfy_make_install(root: Path, python: str) -> None:
    constraints, project = str(root / "constraints.txt"), str(root / "pyproject.toml")
    with installing():
        try_pins(python, "--extra", "dev", "--constraint", constraints, project)


@pytest.mark.parametrize("name", ["mkdocs", "properdocs", "sphinx", "zensical"])
def test_pins_of_other_generators_are_compatible(root: Path, name: str) -> None:
    with installing():
        try_pins(DEBIAN_12, str(root / f"tests/matrix/requirements/{name}.txt"))
