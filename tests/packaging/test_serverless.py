"""Serverless platforms: the project beside the function, and its list of packages."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.matrix.environments import Environment
from tests.packaging.conftest import Distributions, Make, installing
from tests.support.settings import KEY, ORIGIN

EVENT = {
    "version": "2.0",
    "rawPath": "/openapi.json",
    "rawQueryString": "",
    "headers": {"host": "localhost"},
    "requestContext": {"http": {"method": "GET", "path": "/openapi.json", "sourceIp": "192.0.2.1"}},
    "isBase64Encoded": False,
}
FUNCTIONS = {
    "lambda": f"import handler; print(handler.handler({EVENT!r}, None)['statusCode'])",
    "vercel": "from api import index; print(len(index.app.routes) and 200)",
}


def deployed(root: Path, folder: Path, environment: Environment, wheel: Path) -> None:
    """Prepare the folder with the command in the documentation, from the built wheel."""
    page = (root / "example_docs/docs/deploy/serverless.md").read_text()
    [options] = set(re.findall(r"^pip install (.*) --target deploy/\w+ --upgrade \.$", page, re.M))
    environment.install(*options.split(), "--target", str(folder), str(wheel))


@pytest.mark.parametrize("platform", FUNCTIONS)
def test_function_runs_with_its_list_of_packages(
    root: Path, tmp_path: Path, make: Make, distributions: Distributions, platform: str
) -> None:
    folder = tmp_path / "task"
    shutil.copytree(root / "deploy" / platform, folder)
    environment = make(sys.executable, "--requirement", str(folder / "requirements.txt"))
    with installing():
        deployed(root, folder, environment, distributions.wheel)

    done = environment.run(
        *("python", "-c", FUNCTIONS[platform]),
        folder=folder,
        AVATAR_API_KEY=KEY,
        ALLOWED_ORIGINS=ORIGIN,
    )

    assert done.stdout.splitlines()[-1] == "200", done.stdout
    names = {path.name for path in environment.folder.glob("lib/python*/site-packages/*")}
    assert "starlette" in names
    assert not names & {"mkdocs", "jinja2", "markdown", "edge_service"}
