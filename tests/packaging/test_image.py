"""The container's packages: on each processor that a release publishes, and as a list of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.utils import canonicalize_name

from scripts.pins import IMAGE
from tests.matrix.environments import InstallError, uv
from tests.packaging.conftest import installing
from tests.support.container import stages
from tests.support.pins import DEPLOY, pins

# uv's names for what Docker calls amd64 and arm64, with the glibc of Debian 12.
PLATFORMS = {
    "linux/amd64": "x86_64-manylinux_2_36",
    "linux/arm64": "aarch64-manylinux_2_36",
}


@pytest.fixture(scope="module")
def image(root: Path) -> dict[str, Any]:
    """The job that publishes the image."""
    text = (root / ".github/workflows/release.yml").read_text()
    job: dict[str, Any] = yaml.safe_load(text)["jobs"]["image"]
    return job


def step(job: dict[str, Any], action: str) -> dict[str, Any]:
    """The inputs of the only step that uses an action."""
    [found] = [s["with"] for s in job["steps"] if s.get("uses", "").startswith(f"{action}@")]
    return dict(found)


def test_release_publishes_every_tested_platform(image: dict[str, Any]) -> None:
    build = step(image, "docker/build-push-action")
    assert set(build["platforms"].split(",")) == PLATFORMS.keys()
    assert build["provenance"] == "mode=max"
    assert (DEPLOY.parent / build["file"]).samefile(DEPLOY / "container/Dockerfile")


def test_registry_is_one_value_to_fill_in(image: dict[str, Any]) -> None:
    assert image["if"] == "vars.IMAGE != ''"
    text = json.dumps(image)
    assert set(re.findall(r"vars\.(\w+)", text)) == {"IMAGE"}
    assert set(re.findall(r"[\w-]+\.io\b", text)) == {"ghcr.io"}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_wheels_with_the_listed_hashes_exist(tmp_path: Path, platform: str) -> None:
    """Otherwise the build would compile a package, for which the image has no compiler."""
    base = re.search(r"python:(\d+\.\d+)", (DEPLOY / "container/Dockerfile").read_text())
    assert base
    lists = [f"--requirement={DEPLOY}/container/requirements/{extra}.txt" for extra in IMAGE]
    with installing():
        uv(
            *("pip", "install", "--dry-run", "--target", str(tmp_path), "--require-hashes"),
            *("--python-version", base[1], "--python-platform", PLATFORMS[platform]),
            *("--only-binary", ":all:", *lists),
        )


def make_sbom(root: Path, folder: Path) -> Path:
    """The file of `make sbom`, run in this Python's environment."""
    file = folder / "image.cdx.json"
    names = (f"VENV={sys.prefix}", f"IMAGE={folder / 'venv'}", f"SBOM={file}")
    # `--old-file`: do not install the project again.
    command = ["make", "--old-file", f"{sys.prefix}/.installed", "sbom", *names]
    environ = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    done = subprocess.run(
        command, cwd=root, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise InstallError(done.stderr)
    # The library of CycloneDX checked it against the schema; a file that is not valid is an error.
    assert "--validate" in done.stdout
    return file


@pytest.mark.thorough
def test_sbom_lists_what_is_in_the_image(root: Path, image: dict[str, Any], tmp_path: Path) -> None:
    assert "make sbom" in [s.get("run") for s in image["steps"]]
    attested = {s["with"]["sbom-path"] for s in image["steps"] if "sbom-path" in s.get("with", {})}
    assert attested == {re.findall("^SBOM := (.+)$", (root / "Makefile").read_text(), re.M)[0]}
    with installing():
        text = make_sbom(root, tmp_path).read_text()
    # No path of the machine that made it.
    assert str(root) not in text
    assert "file:" not in text

    sbom = json.loads(text)
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    assert sbom["metadata"]["component"]["name"] == "mkdocs-sentifyd"
    extras = stages()[0].the("ARG").partition("=")[2].split(",")
    assert {canonicalize_name(c["name"]): c["version"] for c in sbom["components"]} == {
        name: pin.version for extra in extras for name, pin in pins(extra).items() if pin.applies
    }
