"""The extra `demo`: enough for the demo's site, and far less than `dev`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.packaging.conftest import Distributions, Make

MOST_PACKAGES = 65


@pytest.mark.thorough
def test_demo_runs_with_its_extra_alone(
    root: Path, tmp_path: Path, make: Make, distributions: Distributions
) -> None:
    pins = ("--constraint", str(root / "constraints.txt"))
    environment = make(sys.executable, *pins, f"{distributions.wheel}[demo]")

    built = environment.run(
        *("mkdocs", "build", "--strict", "--config-file", str(root / "example_docs/mkdocs.yml")),
        *("--site-dir", str(tmp_path / "site")),
        folder=tmp_path,
    )

    assert built.returncode == 0, built.stdout
    packages = list(environment.folder.glob("lib/python*/site-packages/*.dist-info"))
    assert len(packages) <= MOST_PACKAGES
    # The token service and the sandbox, which the demo runs beside the site.
    served = environment.run("sentifyd-edge", "demo", SITE_PORT="none", folder=root)
    assert "SITE_PORT must be a whole number" in served.stdout
