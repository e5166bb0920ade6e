"""What a release publishes: the two packages, what they need while they run, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

from tests.packaging.conftest import Distributions, build

PACKAGES = ("mkdocs_sentifyd", "edge_service")
KINDS = {".py", ".js", ".css", ".html", ".typed"}
NOT_PUBLISHED = {".git", ".github", ".ci", ".venv", ".venvs"}


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def described(wheel: Path) -> tuple[str, str]:
    """The wheel's metadata: the fields, and the description below them."""
    (text,) = (
        text.decode() for name, text in contents(wheel).items() if name.endswith("/METADATA")
    )
    fields, _, description = text.partition("\n\n")
    return fields, description


def test_wheel_contains_only_the_packages(root: Path, distributions: Distributions) -> None:
    names = contents(distributions.wheel)
    info = {name.partition("/")[2] for name in names if ".dist-info/" in name}
    packed = {name for name in names if ".dist-info/" not in name}

    there = {
        path.relative_to(root).as_posix()
        for package in PACKAGES
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == there
    assert [name for name in packed if "." + name.rpartition(".")[2] not in KINDS] == []
    assert info == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert packed > {
        "mkdocs_sentifyd/py.typed",
        "mkdocs_sentifyd/tags/templates/loader.html",
        "mkdocs_sentifyd/runtime/core.js",
        "edge_service/py.typed",
        "edge_service/sandbox/component/element.js",
    }


def test_sdist_builds_the_same_wheel(distributions: Distributions) -> None:
    made, wanted = contents(distributions.wheel), contents(distributions.wheel_of_tree)
    assert made.keys() == wanted.keys()
    assert [name for name in made if made[name] != wanted[name]] == []
    assert distributions.wheel.read_bytes() == distributions.wheel_of_tree.read_bytes()


def test_sdist_contains_what_its_tests_need(root: Path, distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tops = {name.partition("/")[0] for name in names}
    assert tops > {"tests", "benchmarks", "example_docs", "scripts", "Makefile", "constraints.txt"}
    assert {path.name for path in root.glob("[A-Z]*.md")} < tops
    assert not tops & NOT_PUBLISHED
    assert [name for name in names if "__pycache__" in name or name.endswith(".pyc")] == []


def test_key_in_the_tree_is_not_published(root: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    for folder in (*PACKAGES, "deploy"):
        shutil.copytree(root / folder, project / folder)
    for file in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(root / file, project)
    for file in ("key.txt", "deploy/container/.env", "deploy/container/secrets/avatar_api_key"):
        (project / file).parent.mkdir(exist_ok=True)
        (project / file).write_text("canary-key-in-the-tree")

    build(project, "--outdir", str(tmp_path), "--sdist")

    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        leaks = [name for name, file in files.items() if file and b"canary-key" in file.read()]
    assert len(files) > 100
    assert leaks == []


def test_twine_accepts_the_distributions(distributions: Distributions) -> None:
    result = subprocess.run(
        [
            *(sys.executable, "-m", "twine", "--no-color", "check", "--strict"),
            *map(str, (distributions.sdist, distributions.wheel)),
        ],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("PASSED") == 2


def test_description_has_no_relative_links(root: Path, distributions: Distributions) -> None:
    fields, description = described(distributions.wheel)
    readme = (root / "README.md").read_text(encoding="utf-8")
    targets = re.compile(r"\]\(([^)]*)\)")

    relative = [
        target for target in targets.findall(readme) if not target.startswith(("http", "#"))
    ]
    assert relative, "README.md has no relative links"
    assert not set(relative) & set(targets.findall(description))
    assert description.startswith("# mkdocs-sentifyd\n")
    assert description.rstrip().endswith(readme.rstrip().splitlines()[-1])
    assert "Classifier: Framework :: MkDocs" in fields
